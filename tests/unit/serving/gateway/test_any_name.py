"""A feature may have any name: in requests, in the description of the API, and in the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Counter

from pipeline.config import Gateway
from pipeline.config import PredictionLog as LogSettings
from pipeline.contracts.schema import SchemaFeature
from serving.client import ModelFeature, ModelSchema, Prediction
from serving.gateway.contract import Question, make_contract
from serving.gateway.prediction_log import PredictionLog
from serving.gateway.problems import ProblemError
from tests.fakes.names import names

TYPES = {"DT_FLOAT": 0.5, "DT_INT64": 7, "DT_STRING": "text"}
OUTPUTS = {"labels": "DT_INT64", "probabilities": "DT_FLOAT", "score": "DT_FLOAT"}

features = st.dictionaries(names, st.sampled_from(sorted(TYPES)), min_size=1, max_size=12)


def _features(dtypes: dict[str, str]) -> dict[str, ModelFeature]:
    return {name: ModelFeature(name, dtype) for name, dtype in dtypes.items()}


@settings(max_examples=40)
@given(features)
def test_a_request_is_read_by_the_names_of_the_features(dtypes: dict[str, str]) -> None:
    constraints = {name: SchemaFeature(name, "type_unknown", min_fraction=1.0) for name in dtypes}
    contract = make_contract(ModelSchema(1, _features(dtypes), OUTPUTS), constraints, Gateway())
    row: dict[str, Any] = {name: TYPES[dtype] for name, dtype in dtypes.items()}

    (read,) = contract.read(json.dumps({"rows": [row]}).encode()).rows
    assert list(read) == list(dtypes)
    assert read == row

    described = contract.request.model_json_schema()["$defs"]["Row"]
    assert set(described["properties"]) == set(described["required"]) == set(dtypes)
    missing = next(iter(dtypes))
    with pytest.raises(ProblemError) as problem:
        contract.read(json.dumps({"rows": [{name: value for name, value in row.items() if name != missing}]}).encode())
    assert problem.value.errors[0].feature == missing


@settings(max_examples=20)
@given(features)
def test_a_logged_row_has_its_features_and_its_answer(tmp_path_factory: pytest.TempPathFactory, dtypes: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("log")
    dropped = Counter("dropped", "Rows that were not logged.", registry=None)
    log = PredictionLog(LogSettings(folder=str(folder)), dropped)
    row = {name: TYPES[dtype] for name, dtype in dtypes.items()}
    log.add(
        _features(dtypes),
        Question([row], ["order-17-1"]),
        [Prediction("m", 3, 0.1, label=1, probabilities=(0.25, 0.75), score=0.75)],
        "order-17",
    )
    log.close()

    (logged,) = pq.read_table(folder).to_pylist()
    assert {name: logged[name] for name in dtypes} == row
    answer = {name.removeprefix("predicted_"): value for name, value in logged.items() if name not in dtypes}
    assert (answer["prediction_version"], answer["prediction_label"], answer["prediction_score"]) == (3, 1, 0.75)
    assert (answer["prediction_row"], answer["prediction_key"]) == (1, "order-17-1")
    assert len(logged) == len(dtypes) + 10


def test_columns_of_the_answer_make_room_for_features_of_their_name(tmp_path: Path) -> None:
    log = PredictionLog(LogSettings(folder=str(tmp_path)), Counter("dropped", "Rows.", registry=None))
    features = _features(dict.fromkeys(("date", "prediction_score", "predicted_prediction_score"), "DT_INT64"))
    log.add(
        features, Question([dict.fromkeys(features, 7)], [None]), [Prediction("m", 3, 0.1, label=1, score=0.75)], "order-17"
    )
    log.close()

    (logged,) = pq.read_table(tmp_path).to_pylist()
    assert [logged[name] for name in features] == [7, 7, 7]
    assert logged["predicted_predicted_prediction_score"] == 0.75
    assert next(tmp_path.iterdir()).name.startswith("predicted_date=")
