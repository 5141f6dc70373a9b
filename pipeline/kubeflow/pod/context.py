"""A task's process: the run it belongs to, its parameters, the metadata database, and where outcomes are kept."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import parameters
from pipeline.errors import StorageError, UsageError
from pipeline.kubeflow.pod import dashboard
from pipeline.kubeflow.pod.payload import Payload
from pipeline.report.read.run_details import read_run_details
from pipeline.runs import database
from pipeline.runs.status import NodeOutcome
from pipeline.util import files
from pipeline.util.sealed import seal, unseal

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.config import PipelineConfig

_RUN_ID = "run_id"
# An input of the exit task alone: how Kubeflow says that the nodes ended.
_STATUS = "status"
# Every task's log, as an artifact: minio://…/executor-logs-1.
_LOGS = "executor-logs"
_ATTEMPT = re.compile(rf"/{_LOGS}-(\d+)$")


@dataclass(frozen=True)
class Pod:
    """A task's process.

    Attributes:
      payload: what the package carries.
      executor_input: the task's inputs and outputs, as Kubeflow describes them.
      run_id: the run's id, in Kubeflow and in ML Metadata.
      parameters: all parameters of the run.
    """

    payload: Payload
    executor_input: dict[str, Any]
    run_id: str
    parameters: dict[str, parameters.Value]

    @classmethod
    def of(cls, payload: Payload, executor_input: dict[str, Any]) -> Pod:
        """The pod that a task's arguments describe.

        Raises:
          UsageError: the run id is missing, or a parameter has a value that it cannot have.
          StorageError: the volume is not mounted, or this user cannot write to it.
        """
        given = dict(executor_input.get("inputs", {}).get("parameterValues", {}))
        run_id = given.pop(_RUN_ID, "")
        given.pop(_STATUS, None)
        if not run_id:
            raise UsageError(
                "The task does not know which run it belongs to.",
                where="--executor-input",
                expected=f"inputs.parameterValues.{_RUN_ID}",
                seen=", ".join(given) or "no inputs",
            )
        _require_volume(payload.config)
        return cls(payload, executor_input, str(run_id), parameters.checked(payload.config, given))

    @property
    def config(self) -> PipelineConfig:
        """The pipeline's configuration, with the paths of the cluster."""
        return self.payload.config

    @cached_property
    def connection(self) -> metadata_store_pb2.ConnectionConfig:
        """How to connect to the ML Metadata database.

        Raises:
          ConfigError: the address of the database is missing or malformed.
        """
        return database.connection(self.config)

    def pipeline(self) -> pipeline_pb2.Pipeline:
        """The compiled pipeline, bound to the run and its parameters."""
        from pipeline.runs import execute

        ir = self.payload.pipeline()
        parameters.apply(ir, self.parameters)
        execute.bind(ir, self.run_id)
        return ir

    @property
    def folder(self) -> Path:
        """The run's folder on the volume."""
        return self.config.runs_path / self.run_id

    @property
    def final_status(self) -> dict[str, Any]:
        """How Kubeflow says that the nodes ended; empty in tasks other than the exit task."""
        status = self.executor_input.get("inputs", {}).get("parameterValues", {}).get(_STATUS)
        return dict(status or {})

    @property
    def attempt(self) -> int:
        """How many attempts at this task came before in the run, since it was started or retried as a whole.

        Kubeflow's launcher has it in the name of the log that it keeps of each attempt; 0 where it is not told.
        """
        logs = self.executor_input.get("outputs", {}).get("artifacts", {}).get(_LOGS, {}).get("artifacts", [])
        found = _ATTEMPT.search(str(logs[0].get("uri", ""))) if logs else None
        return int(found[1]) if found else 0

    def keep(self, node_id: str, outcome: NodeOutcome) -> None:
        """Keeps a node's outcome for the next attempt and the exit task, with a checksum, whole or not at all."""
        files.write(self.outcome_path(node_id), seal(outcome.model_dump_json(indent=2)))

    def kept(self, node_id: str) -> NodeOutcome | None:
        """A node's outcome, if the node has started; a damaged one is told, and is none."""
        path = self.outcome_path(node_id)
        try:
            return NodeOutcome.model_validate_json(unseal(path.read_bytes())) if path.is_file() else None
        except ValueError as error:
            print(f"{path} is not what was written, and is not used: {error}", flush=True)
            return None

    def outcome_path(self, node_id: str) -> Path:
        """The file that keeps a node's outcome."""
        return self.folder / "nodes" / f"{node_id}.json"

    def show(self, nodes: Sequence[str]) -> None:
        """Gives the dashboard the artifacts of the nodes. A failure to do so is only logged."""
        try:
            details = read_run_details(self.config, self.run_id)
            dashboard.write(dashboard.artifacts_of(details, nodes), self.executor_input)
        except Exception:
            print("The artifacts for the dashboard could not be made:", flush=True)
            traceback.print_exc()


def _require_volume(config: PipelineConfig) -> None:
    folder = config.workspace_path
    if not folder.is_dir():
        raise StorageError(
            "The volume is not mounted.",
            where=str(folder),
            expected=f"the PersistentVolumeClaim {config.kubeflow.volume}",
            fix="Compile with the kubeflow.volume and kubeflow.mount_path of the cluster.",
        )
    if not os.access(folder, os.W_OK):
        raise StorageError(
            "The volume cannot be written to.",
            where=str(folder),
            expected=f"a folder that the user {config.kubeflow.user} may write to",
            seen=f"user {os.getuid()}, owner {folder.stat().st_uid}",
            fix="Run the Job conveyor-prepare again, or set kubeflow.user to the owner.",
        )
