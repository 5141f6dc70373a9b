"""What a configuration holds together, where it keeps things, and that it is documented."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

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
        ({"data": {"input": "a.csv", "split": {"method": "time"}}}, "needs `by`, the column that orders the rows"),
        ({"data": {"input": "a.csv", "split": {"method": "group", "by": []}}}, "needs `by`, the columns of the group"),
        (
            {"data": {"input": "a.csv", "split": {"by": "day"}}},
            "`by` is for the method 'time' or 'group'",
        ),
        ({"data": {"input": "a.csv", "split": {"method": "time", "by": ["day", "hour"]}}}, "one column"),
        ({"data": {"input": "a.csv", "split": {"method": "time", "by": "price"}}}, "names price, the label"),
        ({"data": {"input": "a.csv", "split": {"method": "group", "by": "day", "gap": 1}}}, "`gap` is for the method 'time'"),
        ({"data": {"input": "a.csv", "split": {"method": "time", "by": "day", "gap": "7"}}}, "such as 30min, 12h, 7d"),
        ({"data": {"input": "a.csv", "split": {"method": "time", "by": "day", "gap": -1}}}, "from 0 on"),
        ({"data": {"input": "a.csv", "split": {"stratify": True}}, "task": "regression"}, "the task is regression"),
        ({"features": {"price": {"kind": "numeric"}}}, "features names price, the label"),
        ({"features": {"city": {"kind": "categorical", "buckets": 3}}}, "buckets is for columns of kind numeric"),
        ({"features": {"city": {"kind": "text", "vocabulary": 3}}}, "vocabulary is for columns of kind categorical"),
        ({"features": {"city": {"kind": "time", "embedding": 3}}}, "embedding is for columns of kind categorical or text"),
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


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "fields",
    [
        lambda number: {"training": {"learning_rate": number}},
        lambda number: {"model": {"l2": number}},
        lambda number: {"evaluation": {"thresholds": {"mae": {"max": number}}}},
        lambda number: {"gateway": {"timeout_seconds": number}},
        lambda number: {"gateway": {"example": {"rooms": number}}},
    ],
)
def test_numbers_are_finite(fields, number):
    with pytest.raises(ValidationError, match="finite number"):
        config(**fields(number))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_has_32_bits(seed):
    assert config(training={"seed": 2**32 - 1}).training.seed == 2**32 - 1
    with pytest.raises(ValidationError):
        config(training={"seed": seed})


@pytest.mark.integration
@pytest.mark.parametrize("length", [57, 58])
def test_a_name_leaves_tfx_room_for_the_name_of_the_scoring_pipeline(length):
    from tfx.orchestration.pipeline import Pipeline

    if length == 57:
        Pipeline(f"{config(name='a' * length).name}-score", "/root")
        return
    with pytest.raises(ValueError, match="maximum allowed length"):
        Pipeline(f"{'a' * length}-score", "/root")
    with pytest.raises(ValidationError, match="at most 57"):
        config(name="a" * length)


def test_a_slice_is_a_column_or_a_crossing_of_columns():
    slices = config(evaluation={"slices": ["city", ["city", "year"]]}).evaluation.slices

    assert slices == (("city",), ("city", "year"))


def test_ignored_columns_are_read_where_something_else_uses_them():
    ignored = {name: {"kind": "ignore"} for name in ("city", "day", "sex", "w", "v", "old", "note")}
    uses = config(
        features=ignored,
        data={"input": "a.csv", "keep": ["old"], "split": {"method": "time", "by": "day"}},
        training={"weight": "w"},
        evaluation={"slices": ["city"], "max_gaps": {"sex": {"recall": 0.1}}, "weight": "v"},
    )
    assert uses.unread == {"note"}
    assert uses.weights == ("v", "w")


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


def paths(fields: object = PATHS, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The ways to the fields of PATHS that hold a path."""
    if isinstance(fields, dict):
        return [found for name, inner in fields.items() for found in paths(inner, (*way, name)) if name != "runner"]
    return [way]


def with_path(way: tuple[str, ...], path: str) -> dict[str, object]:
    """The fields of a configuration in which one path is another."""
    fields = copy.deepcopy(PATHS)
    section: Any = fields
    for name in way[:-1]:
        section = section[name]
    section[way[-1]] = f"{path}.py:f" if ".py:" in section.get(way[-1], "") else path
    return fields


@pytest.mark.parametrize("way", [*paths(), ("workspace",)])
@pytest.mark.parametrize(
    ("path", "what"), [("hdfs://host/x", "not a path"), ("file:///x", "not a path"), ("~nobody-here/x", "no user")]
)
def test_what_is_not_a_path_is_refused_in_every_field_that_takes_one(way, path, what):
    with pytest.raises(ValidationError, match=what):
        config(**with_path(way, path))


@pytest.mark.parametrize("way", [way for way in (*paths(), ("workspace",)) if way != ("data", "input")])
def test_objects_are_refused_in_every_field_but_the_input(way):
    with pytest.raises(ValidationError, match="not a path"):
        config(**with_path(way, "s3://bucket/x"))


def test_an_input_of_objects_stays_an_address():
    given = {"name": "houses", "label": "price", "data": {"input": "s3://bucket/{name}/{SPAN}.csv"}}
    loaded = PipelineConfig.model_validate(given, context={"folder": Path("/project")})

    assert loaded.resolve(loaded.data.input) == "s3://bucket/houses/{SPAN}.csv"


@pytest.mark.parametrize(
    "address", ["s3://", "gs://bucket", "s3://bucket/", "s3://*/a.csv", "s3://{SPAN}/a.csv", "abfs://c/a.csv"]
)
def test_an_input_is_of_objects_in_one_bucket(address):
    with pytest.raises(ValidationError, match="not a path"):
        config(data={"input": address})


@pytest.mark.parametrize("way", paths())
@pytest.mark.parametrize("path", ["{nam}/x", "x/{workspace}/y"])
def test_a_placeholder_that_would_stay_in_a_path_is_refused(way, path):
    with pytest.raises(ValidationError, match=r"placeholder|stands for a whole path"):
        config(**with_path(way, path))


@pytest.mark.parametrize("pattern", ["", "{SPAN}{VERSION}.csv", "{SPAN}{SPAN}", "{span}.csv"])
def test_an_input_pattern_has_one_meaning(pattern):
    with pytest.raises(ValidationError):
        config(data={"input": pattern})


def test_home_folders_are_expanded_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    for way in [*paths(), ("workspace",)]:
        loaded = PipelineConfig.model_validate(
            {"name": "houses", "label": "price", **with_path(way, "~/x")}, context={"folder": Path("/project")}
        )
        value: Any = loaded.effective()
        for name in way:
            value = value[name]
        assert value.startswith("/home/ada/x")
    assert config(workspace="~/x").metadata_path == Path("/home/ada/x/metadata.sqlite")
    assert config(push={"destination": "~/{name}"}).serving_path == Path("/home/ada/houses")


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
