"""The configuration as pods need it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError
from pipeline.kubeflow.pod_config import in_cluster


def config(**fields: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "flights", "label": "late", **fields})


def test_the_workspace_is_the_volume() -> None:
    settings = in_cluster(config(data={"input": "{workspace}/data/*.csv"}))

    assert settings.resolve(settings.data.input) == "/conveyor/data/*.csv"


def test_objects_are_read_from_where_they_are() -> None:
    settings = in_cluster(config(data={"input": "s3://bucket/data/*.csv"}))

    assert settings.resolve(settings.data.input) == "s3://bucket/data/*.csv"


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("data.input", {"data": {"input": "/elsewhere/a.csv"}}),
        ("push.destination", {"data": {"input": "{workspace}/a.csv"}, "push": {"destination": "/elsewhere/models"}}),
    ],
)
def test_other_places_outside_of_the_volume_are_refused(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="nothing but the volume") as caught:
        in_cluster(config(**fields))

    assert caught.value.where == field
