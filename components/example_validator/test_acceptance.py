"""Schemas that accept what broke them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.example_validator.acceptance import accepting, changes, validate

SCHEMA = text_format.Parse(
    """
    feature {
      name: "code" type: INT presence { min_fraction: 1 } int_domain { min: 0 max: 9 }
      drift_comparator { jensen_shannon_divergence { threshold: 0.001 } }
    }
    feature { name: "temp" type: FLOAT presence { min_fraction: 1 min_count: 1 } float_domain { min: 0 max: 1 } }
    feature { name: "city" type: BYTES domain: "cities" presence { min_fraction: 1 min_count: 1 }
              drift_comparator { infinity_norm { threshold: 0.01 } } }
    string_domain { name: "cities" value: ["A", "B"] }
    """,
    Schema(),
)
VALUES = {
    "code": st.one_of(st.none(), st.integers(-20, 20)),
    "temp": st.one_of(st.none(), st.floats(-2, 2, width=32)),
    "city": st.one_of(st.none(), st.sampled_from(["A", "B", "C", "ü"])),
    "more": st.one_of(st.none(), st.sampled_from(["x", "y"])),
}


def statistics_of(columns: dict[str, list[Any]]) -> DatasetFeatureStatisticsList:
    lists = {name: [None if value is None else [value] for value in values] for name, values in columns.items()}
    present = {name: values for name, values in lists.items() if any(value is not None for value in values)}
    return generate_statistics_in_memory(pa.RecordBatch.from_pydict(present or {"nothing": pa.nulls(1)}))


def anomalies(schema: Schema, statistics: dict[str, DatasetFeatureStatisticsList]) -> set[str]:
    return {name for found in validate(schema, statistics, "train").values() for name in found.anomaly_info}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    names = draw(st.sets(st.sampled_from(sorted(VALUES)), min_size=1))
    rows = draw(st.integers(1, 6))
    return {name: draw(st.lists(VALUES[name], min_size=rows, max_size=rows)) for name in names}


@settings(max_examples=40)
@given(train=tables(), eval=tables())
def test_what_was_accepted_is_accepted(train: dict[str, list[Any]], eval: dict[str, list[Any]]) -> None:
    statistics = {"train": statistics_of(train), "eval": statistics_of(eval)}
    accepted = accepting(SCHEMA, statistics, "train")

    assert not anomalies(accepted, statistics)
    assert [feature.name for feature in accepted.feature][:3] == ["code", "temp", "city"]
    assert accepting(accepted, statistics, "train") == accepted


def test_only_the_columns_that_were_named_are_accepted() -> None:
    statistics = {
        "train": statistics_of({"code": [1, 2], "temp": [0.5, 5.0], "city": ["A", "B"]}),
        "eval": statistics_of({"code": [1, 2], "temp": [0.5, 0.5], "city": ["A", "C"], "more": ["x", "y"]}),
    }
    accepted = accepting(SCHEMA, statistics, "train", ["temp", "more"])

    assert changes(SCHEMA, accepted) == [
        "feature temp: float_domain { min: 0.0 max: 5.0 }",
        'feature { name: "more" value_count { min: 1 max: 1 } type: BYTES domain: "more" }',
        'string_domain more: value: "x" value: "y"',
    ]
    assert anomalies(accepted, statistics) == {"city"}


@pytest.mark.parametrize("threshold", ["infinity_norm", "jensen_shannon_divergence"])
def test_the_threshold_of_a_drift_goes_up_to_what_was_measured(threshold: str) -> None:
    schema = Schema()
    schema.CopyFrom(SCHEMA)
    statistics = {
        "train": statistics_of({"code": [1, 2, 3, 4] * 5, "temp": [0.5] * 20, "city": ["A", "B"] * 10}),
        "eval": statistics_of({"code": [8, 9] * 10, "temp": [0.5] * 20, "city": ["B"] * 20}),
    }
    assert anomalies(schema, statistics) == {"code", "city"}
    accepted = accepting(schema, statistics, "train")
    assert not anomalies(accepted, statistics)
    assert any(threshold in change for change in changes(schema, accepted))
