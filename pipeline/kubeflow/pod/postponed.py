"""How TFX's launcher runs executors in a process without TensorFlow: those that can do without, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfx.orchestration.portable.base_executor_operator import BaseExecutorOperator
from tfx.orchestration.portable.python_executor_operator import PythonExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2
from tfx.types.value_artifact import ValueArtifact

if TYPE_CHECKING:
    from tfx.orchestration.portable.data_types import ExecutionInfo
    from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput

LIGHT_EXECUTORS = ("components.schema_importer.component.Executor",)
"""Executors that need neither TensorFlow nor Beam. A resolver has none."""

_SPECS = (executable_spec_pb2.PythonClassExecutableSpec, executable_spec_pb2.BeamExecutableSpec)


def operators(start_again: Callable[[], Any]) -> dict[type, type[BaseExecutorOperator]]:
    """Operators for the launcher, which import a node's executor only when the node has work to do, and is not cached.

    Args:
      start_again: called where this work needs TensorFlow; puts a process that has it in the place of this one.
    """

    class Postponed(BaseExecutorOperator):
        SUPPORTED_EXECUTOR_SPEC_TYPE: ClassVar = list(_SPECS)
        SUPPORTED_PLATFORM_CONFIG_TYPE: ClassVar[list[type]] = []

        def run_executor(self, execution_info: ExecutionInfo) -> ExecutorOutput:
            if getattr(self._executor_spec, "class_path", "") not in LIGHT_EXECUTORS:
                _take_back(execution_info)
                start_again()
            return PythonExecutorOperator(self._executor_spec).run_executor(execution_info)

    return dict.fromkeys(_SPECS, Postponed)


def _take_back(execution_info: ExecutionInfo) -> None:
    """Removes the empty folders that were made for an execution, so that the other process finds their names free."""
    for artifact in (artifact for artifacts in execution_info.output_dict.values() for artifact in artifacts):
        if not artifact.is_external:
            folder = Path(artifact.uri)
            shutil.rmtree(folder.parent if isinstance(artifact, ValueArtifact) else folder, ignore_errors=True)
    shutil.rmtree(Path(execution_info.tmp_dir).parent, ignore_errors=True)
