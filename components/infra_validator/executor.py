"""The executor of the InfraValidator, which has a separate process load the candidate and answer requests."""

from __future__ import annotations

import json
import os
import selectors
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

from pipeline.util.progress import say

_PROBE = Path(__file__).with_name("probe.py")
_SPLIT = "eval"
_LOG_TAIL = 4000
_PIPE_BYTES = 65536


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
            exec_properties["timeout_seconds"],
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
      timeout_seconds: the time that a step may take, in seconds; the process is killed after it.

    Returns:
      `blessed` (bool), `message` (the reason why not; empty when blessed), `measures` (numbers by name).
    """
    with tempfile.TemporaryDirectory() as folder:
        verdict, log = Path(folder) / "verdict.json", Path(folder) / "log"
        # Isolated: neither this project nor the working directory is importable there. Model servers are given CPUs, and
        # an accelerator may be held by a node that runs at the same time.
        command = [sys.executable, "-I", str(_PROBE), str(verdict), model, str(requests), *files]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr)
        with process:
            try:
                step = _unfinished_step(process, timeout_seconds)
            finally:
                process.kill()
        if step:
            return _refusal(f"It did not get on within {timeout_seconds:g} s (infra_validator.timeout_seconds): {step}.")
        if process.returncode == 0:
            result: dict[str, Any] = json.loads(verdict.read_text())
            return result
        printed = log.read_text(errors="replace")
        logging.warning("The model's process ended with:\n%s", printed[-_LOG_TAIL:])
        return _refusal(f"The process that served it ended: {_cause_of_death(process.returncode, printed)}.")


def _unfinished_step(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Follows a process that says what it does next; returns the step that took too long, or nothing once it has ended."""
    assert process.stdout
    step, stdout = "starting", process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while selector.select(seconds):
            said = os.read(stdout, _PIPE_BYTES).decode(errors="replace").splitlines()
            if not said:
                break
            step = said[-1]
        else:
            return step
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "ending"
    return ""


def _refusal(message: str) -> dict[str, Any]:
    return {"blessed": False, "message": message, "measures": {}}


def _cause_of_death(code: int, printed: str) -> str:
    if code < 0:
        return signal.Signals(-code).name
    last_line = (printed.strip().splitlines() or ["no message"])[-1]
    return f"exit status {code}, {last_line}"
