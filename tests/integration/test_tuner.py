"""TFX's Tuner searches the settings of the members, goes on after an interruption, and finds what the Trainer takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tfx.components.tuner.executor import Executor
from tfx.types import Artifact, artifact_utils, standard_artifacts

from pipeline.report.read.tuning import read_hyperparameters, read_tuning
from pipeline.training import settings
from pipeline.training.tuning.attempts import NetworkAttempts
from tests.integration.test_fit import Training, table_of_rows

pytestmark = pytest.mark.integration

NUM_TRIALS = 3


def _artifact(kind: type[Artifact], folder: Path) -> Artifact:
    artifact = kind()
    artifact.uri = str(folder)
    if kind is standard_artifacts.Examples:
        artifact.split_names = artifact_utils.encode_split_names(["train", "eval"])
    return artifact


class Search:
    """A search by TFX's executor."""

    def __init__(self, training: Training, folder: Path) -> None:
        self._training, self._folder = training, folder
        self.results, self.best = folder / "results", folder / "best"

    def run(self, execution: int) -> None:
        """Runs as an execution of the node."""
        temporary = self._folder / "Tuner" / ".system" / "executor_execution" / str(execution) / ".temp"
        context = Executor.Context(tmp_dir=str(temporary), unique_id=str(execution))
        inputs = {
            "examples": [_artifact(standard_artifacts.Examples, self._training.folder)],
            "transform_graph": [_artifact(standard_artifacts.TransformGraph, self._training.folder / "graph")],
        }
        outputs = {
            "best_hyperparameters": [_artifact(standard_artifacts.HyperParameters, self.best)],
            "tuner_results": [_artifact(standard_artifacts.TunerResults, self.results)],
        }
        properties: dict[str, Any] = {
            "tuner_fn": settings.TUNER_FN,
            "train_args": json.dumps({"splits": ["train"]}),
            "eval_args": json.dumps({"splits": ["eval"]}),
            "custom_config": json.dumps(settings.for_tuner(self._training.config).to_custom_config()),
        }
        Executor(context).Do(inputs, outputs, properties)


def test_an_interrupted_search_goes_on_and_is_never_worse_than_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(
        table_of_rows(300),
        tmp_path / "table",
        model={"kind": "auto"},
        tuner={"enabled": True, "trials": NUM_TRIALS, "epochs": 2},
    )
    search = Search(training, tmp_path)
    train = NetworkAttempts.train

    def killed(*arguments: Any) -> Any:
        if arguments[-1].startswith("trial 2"):
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(NetworkAttempts, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        search.run(1)
    before = capsys.readouterr().out
    assert "from an interrupted search" not in before
    monkeypatch.undo()

    search.run(2)
    assert capsys.readouterr().out.count("from an interrupted search") == NUM_TRIALS + 1

    tuning = read_tuning(search.results)
    assert [member.member for member in tuning.members] == ["trees", "network"]
    assert [len(member.trials) for member in tuning.members] == [NUM_TRIALS, NUM_TRIALS]
    assert tuning.loss is not None
    assert tuning.configured_loss is not None
    assert tuning.loss <= tuning.configured_loss
    chosen = {
        name: value
        for member in tuning.members
        for trial in member.trials
        if trial.is_chosen and trial.number
        for name, value in trial.hyperparameters.items()
    }
    found = read_hyperparameters(search.best)
    assert found == chosen
    tuned = training.settings.tuned(found)
    assert (tuned == training.settings) is (not found)
