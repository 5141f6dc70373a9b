"""A new attempt at a task: it ends at once where the last one failed for what has not changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError, ConveyorError, DataError, NodeError, StorageError
from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.entrypoint import nodes_left, run_nodes
from pipeline.kubeflow.pod.payload import Payload
from pipeline.runs.status import NodeOutcome, NodeState, Problem
from pipeline.runs.verification import DamagedInputError

# What a node says that is run: the payload of these tests has no code.
RUN = "The package was compiled with other code"


def pod(folder: Path, executor_input: dict[str, Any]) -> Pod:
    config = PipelineConfig(name="tiny", label="y", workspace=str(folder), data={"input": str(folder / "rows.csv")})
    return Pod(Payload(b"", config, ""), executor_input, "run-1", {})


def attempt(number: int) -> dict[str, Any]:
    """The executor input of an attempt, as far as it tells which one it is."""
    uri = f"minio://mlpipeline/v2/artifacts/flights/run-1/example-validator/2c1ce592/executor-logs-{number}"
    return {"outputs": {"artifacts": {"executor-logs": {"artifacts": [{"name": "executor-logs", "uri": uri}]}}}}


def fail(pod: Pod, node: str, error: ConveyorError) -> None:
    pod.keep(node, NodeOutcome(state=NodeState.FAILED, problem=Problem.of(error)))


@pytest.mark.parametrize(
    ("executor_input", "number"),
    [
        (attempt(0), 0),
        (attempt(2), 2),
        ({}, 0),
        ({"outputs": {"artifacts": {"executor-logs": {"artifacts": []}}}}, 0),
        ({"outputs": {"artifacts": {"executor-logs": {"artifacts": [{"uri": "minio://mlpipeline/executor-logs"}]}}}}, 0),
    ],
)
def test_the_number_of_the_attempt_is_that_of_its_log(tmp_path: Path, executor_input: dict[str, Any], number: int) -> None:
    assert pod(tmp_path, executor_input).attempt == number


@pytest.mark.parametrize(
    "error",
    [
        DataError("The data break the schema."),
        ConfigError("There is no column x."),
        DamagedInputError("An input of ExampleValidator is not what was made."),
    ],
)
def test_an_error_that_would_be_met_again_is_not_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: ConveyorError
) -> None:
    second = pod(tmp_path, attempt(1))
    second.keep("SchemaGen", NodeOutcome(state=NodeState.COMPLETE))
    fail(second, "ExampleValidator", error)

    with pytest.raises(ConveyorError, match=error.what) as caught:
        run_nodes(second, ["SchemaGen", "ExampleValidator", "Transform"])

    assert (caught.value.headline, caught.value.exit_code) == (error.headline, error.exit_code)
    assert "ExampleValidator: not tried again" in capsys.readouterr().out


@pytest.mark.parametrize("error", [NodeError("It failed with MemoryError."), StorageError("The disk is full.")])
def test_another_error_is_tried_again(tmp_path: Path, error: ConveyorError) -> None:
    second = pod(tmp_path, attempt(1))
    fail(second, "Trainer", error)

    with pytest.raises(ConveyorError, match=RUN):
        run_nodes(second, ["Trainer"])


def test_a_run_that_is_retried_as_a_whole_tries_everything_again(tmp_path: Path) -> None:
    first = pod(tmp_path, attempt(0))
    fail(first, "ExampleValidator", DataError("The data break the schema."))

    with pytest.raises(ConveyorError, match=RUN):
        run_nodes(first, ["ExampleValidator"])


@pytest.mark.parametrize(("number", "left"), [(0, ["SchemaGen", "Transform", "Trainer"]), (1, ["Transform", "Trainer"])])
def test_a_new_attempt_leaves_what_is_complete_as_it_is(tmp_path: Path, number: int, left: list[str]) -> None:
    again = pod(tmp_path, attempt(number))
    again.keep("SchemaGen", NodeOutcome(state=NodeState.COMPLETE, notes=["The schema is inferred."]))
    again.keep("Transform", NodeOutcome(state=NodeState.RUNNING))

    assert nodes_left(again, ["SchemaGen", "Transform", "Trainer"]) == left
