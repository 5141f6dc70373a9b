"""The runs that a backtest needs, and those that it does not need again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.shared.examples.stored_spans import StoredPart, StoredSpan, StoredSpans
from pipeline.backtest import trials as module
from pipeline.backtest.history import History
from pipeline.backtest.trials import Trials, trial_config
from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, DataError
from pipeline.nodes import EXAMPLE_GEN, TRAINER
from pipeline.report.read.saved_model import FOLDER
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome

CONTENTS = {1: "sha256:a", 2: "sha256:b", 3: "sha256:c", 4: "sha256:d"}


class Runner:
    """Stands in for the local runner: makes the folders that nodes would make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[tuple[PipelineConfig, tuple[str, ...]]] = []
        self.problem: Problem | None = None
        self.trainer = NodeState.COMPLETE

    def __call__(self, config: PipelineConfig, factory: Any, *, to_nodes: tuple[str, ...], **others: Any) -> RunOutcome:
        self.runs.append((config, to_nodes))
        outcome = RunOutcome(run_id=f"run-{len(self.runs)}", pipeline=config.name, started=100.0, ended=142.0)
        outcome.problem = self.problem
        outcome.nodes[TRAINER.id] = NodeOutcome(state=self.trainer)
        newest = config.data.newest_span or 0
        spans = [
            StoredSpan(
                number=number,
                content=CONTENTS[number],
                columns=[],
                stored={},
                day_first={},
                splitter="",
                parts={"all": StoredPart(split="train" if number < newest else "eval", files=[f"{number}-0.gz"], rows=1)},
            )
            for number in range(newest - config.data.split.train_spans, newest + 1)
        ]
        for node in (EXAMPLE_GEN.id, TRAINER.id):
            (self.folder / outcome.run_id / node / FOLDER).mkdir(parents=True)
        StoredSpans(settings="", spans=spans).save(str(self.folder / outcome.run_id / EXAMPLE_GEN.id))
        return outcome

    @contextlib.contextmanager
    def store(self, *_: Any) -> Iterator[Any]:
        def run(run_id: str) -> Any:
            return SimpleNamespace(output=lambda node, key: SimpleNamespace(path=self.folder / run_id / node))

        yield SimpleNamespace(run=run, lineage=lambda output: SimpleNamespace(executions=[SimpleNamespace(seconds=30.0)] * 2))


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    runner = Runner(tmp_path / "made")
    monkeypatch.setattr(module, "run_pipeline", runner)
    monkeypatch.setattr(module, "open_store", runner.store)
    monkeypatch.setattr(module, "fingerprint", lambda config: f"{config.training.epochs}")
    return runner


def trials(config: PipelineConfig, contents: dict[int, str] | None = None) -> Trials:
    history = History(contents or CONTENTS, (3, 4))
    return Trials(config, history, config.workspace_path / "backtests", lambda: contextlib.nullcontext(lambda outcome: None))


def test_a_model_is_a_run_to_the_trainer_whose_evaluation_span_is_the_next(runner: Runner, config: PipelineConfig):
    trial = trials(config).train((1, 2))
    ((used, to_nodes),) = runner.runs
    assert to_nodes == (TRAINER.id,)
    assert used.name == "flights-trial"
    split = used.data.split
    assert (split.method, split.train_spans, split.eval_spans, used.data.newest_span) == ("window", 2, 1, 3)
    assert (trial.before, trial.run_id, trial.seconds) == (3, "run-1", 42.0)


def test_what_was_trained_is_not_trained_again_by_the_same_backtest_or_the_next(runner: Runner, config: PipelineConfig):
    first = trials(config)
    trial = first.train((1, 2))
    assert first.train((1, 2)) is trial
    assert trials(config).train([1, 2]) == trial
    assert len(runner.runs) == 1


def test_a_run_that_the_cache_has_answered_took_what_its_nodes_took_when_they_were_at_work(
    runner: Runner, config: PipelineConfig
):
    runner.trainer = NodeState.CACHED
    assert trials(config).train((1, 2)).seconds == 60.0


@pytest.mark.parametrize("change", ["content", "settings", "gone", "cut off", "flipped"])
def test_it_is_trained_again_where_something_has_changed(runner: Runner, config: PipelineConfig, change: str):
    trial = trials(config).train((1, 2))
    contents = dict(CONTENTS)
    if change == "content":
        contents[2] = "sha256:other"
    elif change == "settings":
        config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 7})})
    elif change == "gone":
        Path(trial.model).rmdir()
    else:
        kept = next((config.workspace_path / "backtests" / "models").iterdir())
        kept.write_text('{"key"' if change == "cut off" else kept.read_text().replace('"seconds": ', '"seconds": 1'))
    assert trials(config, contents).train((1, 2)).run_id == "run-2"


def test_the_rows_of_a_span_are_those_that_a_run_has_read(runner: Runner, config: PipelineConfig):
    made = trials(config)
    made.train((1, 2))
    assert made.files(3) == [str(runner.folder / "run-1" / EXAMPLE_GEN.id / "Split-eval" / "3-0.gz")]
    assert made.files(1) == [str(runner.folder / "run-1" / EXAMPLE_GEN.id / "Split-train" / "1-0.gz")]
    assert len(runner.runs) == 1


def test_a_span_that_no_model_was_trained_for_is_read_alone(runner: Runner, config: PipelineConfig):
    made = trials(config)
    made.train((1, 2))
    made.files(4)
    made.files(4)
    assert [to_nodes for _, to_nodes in runner.runs] == [(TRAINER.id,), (EXAMPLE_GEN.id,)]


def test_a_run_that_fails_ends_the_backtest_with_its_error(runner: Runner, config: PipelineConfig):
    runner.problem = Problem.of(DataError("A column is missing."))
    with pytest.raises(ConveyorError, match="A column is missing") as raised:
        trials(config).train((1, 2))
    assert raised.value.exit_code == DataError.exit_code


def test_the_runs_neither_search_nor_take_over_what_was_found(config: PipelineConfig):
    searching = config.model_copy(update={"tuner": config.tuner.model_copy(update={"enabled": True})})
    tuner = trial_config(searching).tuner
    assert (tuner.enabled, tuner.reuse) == (False, False)


def test_paths_with_the_pipelines_name_stay_those_of_the_pipeline(config: PipelineConfig):
    named = PipelineConfig.model_validate(
        {
            **config.effective(),
            "data": {"input": "/data/{name}/{SPAN}.csv"},
            "schema": {"path": "/data/{name}/schema.pbtxt"},
            "preprocessing": {"preprocessing_fn": "/code/{name}.py:preprocess"},
            "model": {"build_model": "/code/{name}.py:build"},
        }
    )
    trial = trial_config(named)
    assert trial.resolve(trial.data.input) == "/data/flights/{SPAN}.csv"
    paths = (trial.schema_source.path, trial.preprocessing.preprocessing_fn, trial.model.build_model)
    assert [trial.resolve(path or "") for path in paths] == [
        "/data/flights/schema.pbtxt",
        "/code/flights.py:preprocess",
        "/code/flights.py:build",
    ]
