"""The executor of the InfraValidator, which has a separate process load the candidate and answer requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from pipeline.contracts.model import DESCRIPTION_PATH, ModelDescription
from pipeline.util.progress import say

_PROBE = Path(__file__).with_name("probe.py")
_SPLIT = "eval"
_LOG_TAIL = 4000
# The model must answer a row without each of its features, one by one.
_SECONDS_A_FEATURE = 0.1


class Executor(base_executor.BaseExecutor):
    """Blesses a model that can be served."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validates the model. A model that fails is not blessed, but the node itself succeeds.

        Args:
          input_dict: `model` and `examples`.
          output_dict: `blessing`: an empty file INFRA_BLESSED or INFRA_NOT_BLESSED and the custom property `blessed`, as
            TFX's InfraValidator leaves them; further `message` (why not), and once the model was loaded `load_seconds`,
            `latency_p50_ms` and `latency_p99_ms` (of a request of one row) and `requests` (how many were answered).
          exec_properties: `requests` and `timeout_seconds`.
        """
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        split = artifact_utils.get_split_uri(input_dict["examples"], _SPLIT)
        say(f"loading the model, which answers {exec_properties['requests']:,} rows")
        folder = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        verdict = probe(
            folder,
            sorted(fileio.glob(os.path.join(split, "*"))),
            exec_properties["requests"],
            exec_properties["timeout_seconds"] + _SECONDS_A_FEATURE * _num_features(folder),
        )
        blessed = verdict["blessed"]
        io_utils.write_string_file(os.path.join(blessing.uri, "INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED"), "")
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_string_custom_property("message", verdict["message"])
        for name, number in verdict["measures"].items():
            blessing.set_float_custom_property(name, number)
        logging.info("Infra validation: %s", json.dumps(verdict))


def probe(model: str, files: list[str], requests: int, timeout_seconds: float) -> dict[str, Any]:
    """Loads a model in a fresh process, which answers requests.

    Args:
      model: folder of the SavedModel.
      files: TFRecord files of tf.Examples.
      requests: the number of rows to send.
      timeout_seconds: the time after which the process is killed, in seconds.

    Returns:
      `blessed` (bool), `message` (the reason why not; empty when blessed), `measures` (numbers by name).
    """
    with tempfile.TemporaryDirectory() as folder:
        verdict = Path(folder) / "verdict.json"
        # Isolated: neither this project nor the working directory is importable there. Model servers are given CPUs, and
        # an accelerator may be held by a node that runs at the same time.
        command = [sys.executable, "-I", str(_PROBE), str(verdict), model, str(requests), *files]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            return _refusal(
                f"It did not load and answer {requests} rows within {timeout_seconds:g} s "
                f"(infra_validator.timeout_seconds, and {_SECONDS_A_FEATURE:g} s for each feature)."
            )
        if process.returncode == 0:
            result: dict[str, Any] = json.loads(verdict.read_text())
            return result
        logging.warning("The model's process ended with:\n%s", process.stderr[-_LOG_TAIL:])
        return _refusal(f"The process that served it ended: {_cause_of_death(process)}.")


def _num_features(model: str) -> int:
    """How many features a model takes; 0 where it does not describe itself."""
    path = os.path.join(model, DESCRIPTION_PATH)
    if not fileio.exists(path):
        return 0
    return len(ModelDescription.from_json(io_utils.read_string_file(path)).features)


def _refusal(message: str) -> dict[str, Any]:
    return {"blessed": False, "message": message, "measures": {}}


def _cause_of_death(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return signal.Signals(-process.returncode).name
    last_line = (process.stderr.strip().splitlines() or ["no message"])[-1]
    return f"exit status {process.returncode}, {last_line}"
