"""The ids of runs, by which ML Metadata knows them."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.local import PipelineFactory, run_pipeline
from pipeline.runs.status import RunOutcome


def started(folder: Path) -> str:
    """The id of a run that goes no further."""
    ids = []

    def refuse() -> None:
        raise UsageError("It goes no further.")

    def note(outcome: RunOutcome) -> None:
        ids.append(outcome.run_id)

    config = PipelineConfig(name="tiny", label="y", workspace=str(folder), data={"input": "x"})
    try:
        run_pipeline(config, PipelineFactory("none:none", {}), name="tiny", observer=note, check=refuse)
    except UsageError:
        return ids[0]
    raise AssertionError


def test_in_its_own_database_a_run_has_the_time(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{8}-\d{6}", started(tmp_path))


def test_in_a_database_that_others_may_use_runs_of_one_second_have_different_ids(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", f"sqlite://{tmp_path}/shared.sqlite")
    monkeypatch.setattr("pipeline.local.runner.time.strftime", lambda form: "20260101-060000")
    ids = [started(tmp_path / folder) for folder in ("one", "two")]
    assert all(re.fullmatch(r"20260101-060000-[0-9a-f]{4}", each) for each in ids)
    assert ids[0] != ids[1]
