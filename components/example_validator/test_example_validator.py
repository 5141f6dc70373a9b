"""The schema validator on statistics of small tables: which data stops a run, and the error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_data_validation.api.validation_api import infer_schema
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo
from tensorflow_metadata.proto.v0.schema_pb2 import Schema
from tfx.types import standard_artifacts
from tfx.types.channel_utils import as_channel
from tfx.utils import io_utils

from components.example_validator.component import Executor, SchemaValidator
from components.example_validator.unworkable import unworkable
from pipeline.errors import DataError

SCHEMA = """
    feature { name: "late" type: INT presence { min_fraction: 1 min_count: 1 } int_domain { min: 0 max: 1 } }
    feature { name: "temp" type: FLOAT presence { min_fraction: 0.5 } float_domain { min: -40 max: 130 } }
    feature {
      name: "origin" type: BYTES presence { min_fraction: 1 min_count: 1 } domain: "origins"
      distribution_constraints { min_domain_mass: 1 }
    }
    string_domain { name: "origins" value: ["EWR", "JFK", "LGA"] }
"""
COLUMNS: dict[str, list[Any]] = {
    "late": [0, 1, 0, 1],
    "temp": [39.5, 40.0, None, 12.0],
    "origin": ["EWR", "JFK", "LGA", "EWR"],
}

Validate = Callable[..., standard_artifacts.ExampleAnomalies]


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Validates tables given as columns; those that are not given are in order. Without a schema, one is inferred."""

    def run(
        train: dict[str, list[Any] | None] | None = None,
        eval: dict[str, list[Any] | None] | None = None,
        schema: str | None = SCHEMA,
        **properties: str,
    ) -> standard_artifacts.ExampleAnomalies:
        statistics = standard_artifacts.ExampleStatistics()
        statistics.uri = str(tmp_path / "statistics")
        statistics.split_names = '["train", "eval"]'
        of_splits = {}
        for split, changes in {"train": train, "eval": eval}.items():
            columns = {name: values for name, values in {**COLUMNS, **(changes or {})}.items() if values is not None}
            lists = {name: [None if value is None else [value] for value in values] for name, values in columns.items()}
            folder = tmp_path / "statistics" / f"Split-{split}"
            folder.mkdir(parents=True)
            stats = generate_statistics_in_memory(pa.RecordBatch.from_pydict(lists))
            (folder / "FeatureStats.pb").write_bytes(stats.SerializeToString())
            of_splits[split] = stats
        schema_artifact = standard_artifacts.Schema()
        schema_artifact.uri = str(tmp_path / "schema")
        message = (
            infer_schema(of_splits["train"], infer_feature_shape=False)
            if schema is None
            else text_format.Parse(schema, Schema())
        )
        io_utils.write_pbtxt_file(f"{schema_artifact.uri}/schema.pbtxt", message)
        anomalies = standard_artifacts.ExampleAnomalies()
        anomalies.uri = str(tmp_path / "anomalies")
        Executor().Do(
            {"statistics": [statistics], "schema": [schema_artifact]},
            {"anomalies": [anomalies]},
            {"exclude_splits": "[]", "label": "late", "on_anomaly": "stop", **properties},
        )
        return anomalies

    return run


def test_data_that_keeps_the_schema_is_blessed(validate: Validate) -> None:
    anomalies = validate()
    assert anomalies.get_json_value_custom_property("blessed") == {"train": 1, "eval": 1}
    for split in ("train", "eval"):
        content = Path(anomalies.uri, f"Split-{split}", "SchemaDiff.pb").read_bytes()
        assert not Anomalies.FromString(content).anomaly_info


@pytest.mark.parametrize(
    ("changes", "expected", "seen", "fix"),
    [
        pytest.param(
            {"temp": None},
            "temp: type: FLOAT float_domain { min: -40.0 max: 130.0 } presence { min_fraction: 0.5 }",
            "temp (split eval): Column is completely missing",
            "feature temp: no presence",
            id="a column is missing",
        ),
        pytest.param(
            {"fare": [1.5, 2.5, 3.5, 4.5]},
            "fare: no such column",
            "fare (split eval): New column (column in data but not in schema)",
            'feature { name: "fare"',
            id="a column is new",
        ),
        pytest.param(
            {"temp": ["cold", "hot", "hot", "cold"]},
            "temp: type: FLOAT",
            "Expected data of type: FLOAT but got STRING",
            "Correct the data and run again.",
            id="a type has changed",
        ),
        pytest.param(
            {"temp": [39.5, 40.0, 1000.0, 12.0]},
            "float_domain { min: -40.0 max: 130.0 }",
            "Unexpectedly high value: 1000>130",
            "feature temp: float_domain { min: -40.0 max: 1000.0 }",
            id="a value is out of range",
        ),
        pytest.param(
            {"origin": ["EWR", "JFK", "PHL", "EWR"]},
            "one of EWR, JFK, LGA",
            "values missing from the schema: PHL (~25%)",
            'string_domain origins: value: "PHL"',
            id="a value is not in the domain",
        ),
        pytest.param(
            {"origin": ["EWR", "JFK", None, None]},
            "presence { min_fraction: 1.0 min_count: 1 }",
            "minimum fraction = 1.000000, actual = 0.500000",
            "feature origin: presence { min_fraction: 0.5 min_count: 1 }",
            id="values are missing",
        ),
    ],
)
def test_an_anomaly_stops_the_run(
    validate: Validate, changes: dict[str, list[Any] | None], expected: str, seen: str, fix: str
) -> None:
    with pytest.raises(DataError) as raised:
        validate(eval=changes)
    error = raised.value
    assert "1 feature with anomalies" in error.what
    assert error.where == next(iter(changes))
    assert expected in error.expected
    assert seen in error.seen
    assert fix in error.fix


def test_a_column_that_nobody_has_approved_stops_the_run(validate: Validate) -> None:
    ids = {"passenger_id": ["a", "b", "c", "d"]}
    with pytest.raises(DataError, match="1 feature with anomalies") as raised:
        validate(train=ids, eval=ids)
    assert raised.value.where == "passenger_id"


def test_a_type_that_has_changed_in_every_split_can_be_accepted(validate: Validate) -> None:
    words = {"temp": ["cold", "hot", "hot", "cold"]}
    with pytest.raises(DataError, match="Expected data of type: FLOAT but got STRING") as raised:
        validate(train=words, eval=words)
    assert raised.value.fix.splitlines()[-2:] == ["feature temp: type: BYTES", "feature temp: no float_domain"]


def test_what_both_splits_have_is_said_once(validate: Validate) -> None:
    with pytest.raises(DataError) as raised:
        validate(train={"temp": None}, eval={"temp": None, "origin": ["PHL"] * 4})
    assert raised.value.seen.splitlines()[0] == "temp (split train, eval): Column is completely missing"
    assert raised.value.where == "temp, origin"


def test_many_anomalies_fit_on_one_screen(validate: Validate) -> None:
    with pytest.raises(DataError) as raised:
        validate(train={f"extra_{number}": [1, 2, 3, 4] for number in range(100)})
    assert "and 92 more features" in raised.value.seen
    assert len(str(raised.value).splitlines()) < 40


@pytest.mark.parametrize(("on_anomaly", "level"), [("stop", "ERROR"), ("warn", "WARNING")])
def test_the_log_has_every_anomaly(validate: Validate, caplog: pytest.LogCaptureFixture, on_anomaly: str, level: str) -> None:
    many = {f"extra_{number}": [1, 2, 3, 4] for number in range(20)}
    cities = ", ".join(f'"city {number:02}"' for number in range(60))
    wide = SCHEMA.replace('value: ["EWR"', f'value: [{cities}, "EWR"')
    with contextlib.suppress(DataError):
        validate(eval={**many, "origin": ["PHL"] * 4}, schema=wide, on_anomaly=on_anomaly)

    (record,) = [each for each in caplog.records if "breaks the schema" in each.message]
    assert record.levelname == level
    for name in many:
        assert f"{name}: no such column" in record.message
        assert f"{name} (split eval): New column" in record.message
    assert "city 59, EWR, JFK, LGA" in record.message
    assert "PHL" in record.message


def test_anomalies_can_be_published_without_stopping(validate: Validate) -> None:
    anomalies = validate(eval={"temp": None}, on_anomaly="warn")
    assert anomalies.get_json_value_custom_property("blessed") == {"train": 1, "eval": 0}
    content = Path(anomalies.uri, "Split-eval", "SchemaDiff.pb").read_bytes()
    assert list(Anomalies.FromString(content).anomaly_info) == ["temp"]


def test_drift_from_the_training_split_is_an_anomaly_where_the_schema_bounds_it(validate: Validate) -> None:
    bounded = SCHEMA.replace(
        "min_domain_mass: 1 }", "min_domain_mass: 1 } drift_comparator { infinity_norm { threshold: 0.1 } }"
    )
    with pytest.raises(DataError, match="origin"):
        validate(eval={"origin": ["JFK"] * 4}, schema=bounded)


@pytest.mark.parametrize("on_anomaly", ["stop", "warn"])
@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ({"late": None, "Late": [0, 1, 0, 1]}, "Did you mean 'Late'?"),
        ({"late": [0, 1, None, None]}, "2 of 4 rows without"),
        ({"late": [1, 1, 1, 1]}, "1 in every row"),
        ({"late": ["no", "no", "no", "no"]}, "no in every row"),
        ({name: [] for name in COLUMNS}, "split train is empty"),
    ],
)
def test_a_label_that_nothing_can_be_learnt_from_always_stops_the_run(
    validate: Validate, train: dict[str, list[Any] | None], problem: str, on_anomaly: str
) -> None:
    with pytest.raises(DataError, match=problem):
        validate(train=train, on_anomaly=on_anomaly)


def test_a_single_label_is_fine_where_nothing_is_learnt(validate: Validate) -> None:
    validate(eval={"late": [1, 1, 1, 1]})


def test_its_settings_are_in_the_cache_key() -> None:
    node = SchemaValidator(
        statistics=as_channel([standard_artifacts.ExampleStatistics()]),
        schema=as_channel([standard_artifacts.Schema()]),
        label="late",
        on_anomaly="warn",
    )
    assert node.exec_properties["label"] == "late"
    assert node.exec_properties["on_anomaly"] == "warn"
    assert node.outputs["anomalies"].type_name == standard_artifacts.ExampleAnomalies.TYPE_NAME


INFERRED = "stop_if_unworkable"


@pytest.fixture
def notes(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The notes that have been told."""
    return lambda: [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]


def test_a_schema_that_was_inferred_does_not_stop_a_run_for_what_is_rare(
    validate: Validate, notes: Callable[[], list[str]]
) -> None:
    anomalies = validate(
        train={"rare": [1, *[None] * 3], "sometimes": None, "often": [1, 2, 3, 4]},
        eval={"origin": ["EWR", "PHL", "LGA", "EWR"], "sometimes": ["a"] * 4, "often": [1, None, 3, 4]},
        schema=None,
        on_anomaly=INFERRED,
    )
    assert anomalies.get_json_value_custom_property("blessed") == {"train": 1, "eval": 0}
    assert notes() == [
        "note: often (split eval): lacks values in some rows, as no row of train does.",
        "note: origin (split eval): has values that train does not have: PHL (~25%).",
        "note: rare (split eval): has no value.",
        "note: sometimes (split eval): has values, but none in train: the model does not use it.",
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"origin": None}, "not present|completely missing"),
        ({"origin": [1, 2, 3, 4] * 5}, "Expected data of type: BYTES but got INT"),
    ],
)
def test_a_schema_that_was_inferred_stops_a_run_that_could_not_work(
    validate: Validate, changes: dict[str, list[Any] | None], problem: str
) -> None:
    many = {name: values * 5 for name, values in COLUMNS.items()}
    with pytest.raises(DataError, match=problem) as raised:
        validate(train=many, eval={**many, "temp": [None] * 19 + [1.0], **changes}, schema=None, on_anomaly=INFERRED)
    assert raised.value.where == "origin"
    assert "inferred from train" in raised.value.what
    assert raised.value.fix.splitlines()[-1].endswith('features: {"origin": {kind: ignore}}')


def test_a_column_without_values_in_train_has_no_type_that_could_change(validate: Validate) -> None:
    validate(train={"extra": [None] * 4}, eval={"extra": [1, 2, 3, 4]}, schema=None, on_anomaly=INFERRED)


@given(present=st.integers(0, 100), rows=st.integers(1, 100))
def test_a_column_is_gone_if_chance_cannot_have_left_it_empty(present: int, rows: int) -> None:
    statistics = {
        "train": generate_statistics_in_memory(pa.record_batch({"x": [[1]] * present + [None] * (100 - present)})),
        "eval": generate_statistics_in_memory(pa.record_batch({"x": pa.nulls(rows)})),
    }
    found = {"eval": Anomalies()}
    found["eval"].anomaly_info["x"].reason.add(type=AnomalyInfo.SCHEMA_MISSING_COLUMN)

    stops = bool(unworkable(found, statistics, "train")["eval"].anomaly_info)
    chance = Fraction(comb(100 + rows - present, rows), comb(100 + rows, rows))
    assert stops == (chance < Fraction(1, 10**6))


def test_a_label_that_is_the_same_in_all_of_eval_is_told_before_training(
    validate: Validate, notes: Callable[[], list[str]]
) -> None:
    validate(eval={"late": [1, 1, 1, 1]})
    (note,) = notes()
    assert note.startswith("note: The label late is 1 in every row of eval")


def test_a_label_that_is_not_text_is_refused(validate: Validate) -> None:
    with pytest.raises(DataError, match="is not text") as error:
        validate(train={"origin": [b"\xff", b"\xfe", b"\xff", b"\xfe"]}, schema=None, label="origin")
    assert "hexadecimal" in error.value.fix


def test_a_class_of_another_split_is_told_before_training(validate: Validate) -> None:
    with pytest.raises(DataError, match="does not know") as error:
        validate(eval={"origin": ["EWR", "JFK", "LGA", "BOS"]}, schema=None, label="origin")
    assert (error.value.where, error.value.seen) == ("split eval", "'BOS'")
    assert "stratify: true" in error.value.fix


def test_classes_of_the_label_that_may_mean_the_same_are_told_once(validate: Validate, notes: Callable[[], list[str]]) -> None:
    labels = ["Yes", "no", "yes ", "No"]
    validate(train={"late": labels}, eval={"late": labels}, schema=None)

    assert notes() == [
        "note: The label 'late' has classes that may mean the same and are learnt apart: 'No', 'no'; 'Yes', 'yes '. "
        "To read them as true and false, set data.columns: {late: boolean}."
    ]
