"""Which columns are watched."""

from __future__ import annotations

from pipeline.config import PipelineConfig
from pipeline.monitoring.columns import Column, Role, watched_columns


def test_the_time_itself_is_not_watched_as_it_never_comes_again() -> None:
    features = {"when": {"kind": "time", "parts": ["day_of_year", "elapsed"]}, "until": {"parts": ["elapsed"]}}
    config = PipelineConfig.model_validate(
        {"name": "rows", "label": "y", "task": "regression", "data": {"input": "rows.csv"}, "features": features}
    )
    assert watched_columns(config, {"when": "int", "until": "int", "size": "float"}) == (
        Column("when", Role.TIME, ("day_of_year",)),
        Column("until", Role.TIME),
        Column("size", Role.NUMBER),
    )
