"""What a configuration holds together, where it keeps things, and that it is documented."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import PipelineConfig
from pipeline.config.section import Section


def config(**fields) -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "houses", "label": "price", "data": {"input": "a.csv"}, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": {"input": "a.csv", "split": {"method": "window"}}}, "must contain {SPAN}"),
        ({"data": {"input": "{VERSION}/a.csv"}}, "a version of a span"),
        ({"features": {"price": {"kind": "numeric"}}}, "features names price, the label"),
        ({"features": {"city": {"kind": "categorical", "buckets": 3}}}, "buckets is for columns of kind numeric"),
        ({"features": {"day": {"kind": "ignore", "parts": ["day_of_week"]}}}, "parts is for columns of kind time"),
        ({"evaluation": {"thresholds": {"auc": {}}}}, "at least one of min, max and max_regression"),
        ({"evaluation": {"thresholds": {"auc": {"min": 0.9, "max": 0.8}}}}, "no value lies between"),
        ({"name": "Houses"}, "should match pattern"),
        ({"preprocessing": {"preprocessing_fn": "module.function"}}, "should match pattern"),
    ],
)
def test_what_does_not_hold_together_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        config(**fields)


def test_a_slice_is_a_column_or_a_crossing_of_columns():
    slices = config(evaluation={"slices": ["city", ["city", "year"]]}).evaluation.slices

    assert slices == (("city",), ("city", "year"))


def test_fields_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        config().name = "other"


PATHS = {
    "data": {"input": "data/{SPAN}/*.csv"},
    "schema": {"path": "/elsewhere/schema.pbtxt"},
    "preprocessing": {"preprocessing_fn": "code/mine.py:preprocessing_fn"},
    "model": {"build_model": "network.py:build_model"},
    "push": {"destination": "{workspace}/{name}/models"},
    "execution": {"beam": {"runner": "flink", "flink": {"job_server_jar": "jars/flink.jar"}}},
    "gateway": {"rollout": "rollout.json", "feature_schema": "../schema.pbtxt", "log": {"folder": "log"}},
}


def loaded_from_the_project() -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "houses", "label": "price", **PATHS}, context={"folder": Path("/project")})


def test_the_workspace_is_relative_to_the_working_directory_and_all_else_to_the_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    loaded = loaded_from_the_project()
    monkeypatch.chdir("/")

    assert loaded.metadata_path == tmp_path / ".conveyor/metadata.sqlite"
    assert loaded.artifacts_path == tmp_path / ".conveyor/artifacts/houses"
    assert loaded.runs_path == tmp_path / ".conveyor/runs/houses"
    assert loaded.serving_path == tmp_path / ".conveyor/houses/models"
    assert loaded.data.input == "/project/data/{SPAN}/*.csv"
    assert loaded.schema_source.path == "/elsewhere/schema.pbtxt"
    assert loaded.preprocessing.preprocessing_fn == "/project/code/mine.py:preprocessing_fn"
    assert loaded.model.build_model == "/project/network.py:build_model"
    assert loaded.execution.beam.flink.job_server_jar == "/project/jars/flink.jar"
    assert loaded.gateway.rollout == "/project/rollout.json"
    assert loaded.gateway.feature_schema == "/project/../schema.pbtxt"
    assert loaded.gateway.log.folder == "/project/log"
    assert loaded.resolve("{workspace}/data/{name}.csv") == f"{tmp_path}/.conveyor/data/houses.csv"


def test_paths_are_the_same_after_any_serialisation(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    loaded = loaded_from_the_project()
    monkeypatch.chdir("/")

    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert PipelineConfig.model_validate(loaded.effective()) == loaded
    assert PipelineConfig.model_validate(loaded.effective(), context={"folder": Path("/other")}) == loaded


def test_every_path_is_resolved():
    written = PipelineConfig.model_validate({"name": "houses", "label": "price", **PATHS}).effective()
    loaded = loaded_from_the_project().effective()

    assert {field for field in written if written[field] != loaded[field]} == {*PATHS, "workspace"} - {"schema", "push"}


def test_every_field_is_described():
    sections = {"PipelineConfig": PipelineConfig, **{kind.__name__: kind for kind in Section.__subclasses__()}}

    assert [
        f"{name}.{field}"
        for name, section in sections.items()
        for field, details in section.model_fields.items()
        if not details.description
    ] == []
