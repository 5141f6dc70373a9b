"""Several processes train a network together: like one, and without silence when one of them ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline.training import checkpoints, network, trainer
from pipeline.training.workers import VARIABLE
from tests.integration.test_fit import Training, table_of_rows

ROOT = Path(__file__).parents[2]
NUM_WORKERS = 2
NUM_ROWS = 1_501
EPOCHS = 6
KILLED_AT = 2
SECONDS = 1800.0
TRIES = 3

pytestmark = pytest.mark.integration


def main(arguments: Path, is_killed: bool) -> None:
    """What a worker does."""
    checkpoints.SECONDS = checkpoints.PAUSE = 0.0
    if is_killed:
        begin = network._Progress.on_epoch_begin

        def killed(progress: Any, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            if epoch == KILLED_AT:
                os.kill(os.getpid(), signal.SIGKILL)
            begin(progress, epoch, logs)

        network._Progress.on_epoch_begin = killed  # type: ignore[method-assign]
    trainer.run_fn(FnArgs(**json.loads(arguments.read_text())))


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    code: int
    text: str


@dataclass(frozen=True)
class Table:
    """Rows in the order of time, the newest of which judge; what the Trainer of each execution is given is made of them."""

    folder: Path
    training: Training

    def arguments(self, name: str, execution: int) -> Path:
        """A file with the Trainer's arguments in an execution."""
        outputs = {
            f"{output}_dir": str(self.folder / name / output.removeprefix("serving_") / str(execution))
            for output in ("serving_model", "model_run")
        }
        given = {
            "train_files": [str(self.training.folder / "Split-train" / "*")],
            "eval_files": [str(self.training.folder / "Split-train" / "*")],
            "transform_graph_path": str(self.training.folder / "graph"),
            "transform_output": str(self.training.folder / "graph"),
            "custom_config": self.training.settings.to_custom_config(),
            **outputs,
        }
        Path(outputs["model_run_dir"]).mkdir(parents=True)
        path = self.folder / f"{name}-{execution}.json"
        path.write_text(json.dumps(given))
        return path

    def history(self, name: str, execution: int) -> list[dict[str, float]]:
        """The epochs of an execution, without the seconds that they took."""
        text = (self.folder / name / "model_run" / str(execution) / "history.json").read_text()
        return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in json.loads(text)]

    def answers(self, name: str, execution: int) -> list[np.ndarray]:
        """What the model of an execution says of some rows, in numbers: near a threshold, the class may be another."""
        model = tf.saved_model.load(str(self.folder / name / "model" / str(execution)))
        answers = model.signatures["serving_default"](examples=self.training.examples)
        return [answers[key].numpy() for key in sorted(answers) if answers[key].dtype.is_floating]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("workers")
    rows = table_of_rows(NUM_ROWS)
    rows = rows.append_column("when", pa.array(np.arange(NUM_ROWS)))
    sections = {
        "data": {"input": "fit.parquet", "split": {"method": "time", "by": "when"}},
        "features": {"when": {"kind": "ignore"}},
        "model": {"kind": "network", "dropout": 0.0},
        "training": {"epochs": EPOCHS, "patience": 2},
    }
    return Table(folder, Training(rows, folder / "table", **sections))


def train(arguments: Path, num_workers: int, killed: int | None = None) -> list[Ended]:
    """Trains in several processes, with a port each; another program may take one of these first, so it is tried again."""
    for _ in range(TRIES):
        ended = _train(arguments, num_workers, killed)
        if not any("Could not start gRPC server" in each.text for each in ended):
            break
    return ended


def _train(arguments: Path, num_workers: int, killed: int | None) -> list[Ended]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("localhost", 0))) for _ in range(num_workers)]
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    processes = []
    for index in range(num_workers):
        described = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, str(arguments), str(index == killed)],
                env={**os.environ, VARIABLE: json.dumps(described), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        texts = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Ended(process.returncode, text) for process, text in zip(processes, texts, strict=True)]


@pytest.fixture(scope="module")
def undisturbed(table: Table) -> list[Ended]:
    return train(table.arguments("together", 1), NUM_WORKERS)


def test_workers_train_the_model_that_one_process_trains(table: Table, undisturbed: list[Ended]) -> None:
    assert [each.code for each in undisturbed] == [0, 0], undisturbed
    assert "on 2 workers" in undisturbed[0].text
    (alone,) = train(table.arguments("alone", 1), 1)
    assert alone.code == 0, alone.text
    for epoch, expected in zip(table.history("together", 1), table.history("alone", 1), strict=True):
        assert epoch == pytest.approx(expected, rel=0.05)
    for answer, expected in zip(table.answers("together", 1), table.answers("alone", 1), strict=True):
        assert np.abs(answer - expected).mean() < 0.05


def test_a_worker_that_is_killed_is_told_and_the_next_training_goes_on(table: Table, undisturbed: list[Ended]) -> None:
    first, killed = train(table.arguments("killed", 1), NUM_WORKERS, killed=1)
    assert killed.code == -signal.SIGKILL, killed.text
    assert first.code == 1
    assert "A worker of the training has ended before it was done." in first.text
    assert "task:1" in first.text

    ended = train(table.arguments("killed", 2), NUM_WORKERS)
    assert [each.code for each in ended] == [0, 0], ended
    assert f"epoch {KILLED_AT + 1}/{EPOCHS}" in ended[0].text
    assert f"epoch {KILLED_AT}/{EPOCHS}" not in ended[0].text
    for epoch, expected in zip(table.history("killed", 2), table.history("together", 1), strict=True):
        assert epoch == pytest.approx(expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "True")
