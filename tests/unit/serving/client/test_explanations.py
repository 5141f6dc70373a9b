"""What each feature adds to a prediction: exact where the answer is known, and through both protocols."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import Client, Explanation, ModelFeature, Prediction
from serving.client.explanations import MAX_ROWS_ASKED, Walks
from serving.client.features import encode_rows
from serving.errors import FeatureError, NotExplainableError, UnknownModelError

Model = Callable[[Mapping[str, Any]], float]


def floats(*names: str) -> dict[str, ModelFeature]:
    return {name: ModelFeature(name, "DT_FLOAT") for name in names}


def explain(
    model: Model,
    row: Mapping[str, Any],
    references: Sequence[Mapping[str, Any]],
    features: Mapping[str, ModelFeature],
    max_rows: int = 1000,
) -> Explanation:
    """The explanation of what a function of the encoded features returns for a row."""
    walks = Walks(encode_rows([row], features), encode_rows(references, features), features)
    asked = [
        dict(zip(features, values, strict=True))
        for part in walks.columns(max_rows)
        for values in zip(*(part[name] for name in features), strict=True)
    ]
    assert len(asked) == walks.num_rows
    prediction = walks.explain([Prediction("flights", 3, 0.0, value=model(each)) for each in asked])
    assert prediction.value == model(asked[0])
    assert prediction.explanation is not None
    return prediction.explanation


def by_feature(explanation: Explanation) -> dict[str, float]:
    return {each.feature: each.contribution for each in explanation.contributions}


def test_of_a_linear_model_each_feature_adds_its_coefficient_times_its_distance_from_the_mean():
    references = [{"a": 0, "b": 1, "c": 4}, {"a": 2, "b": 1, "c": 8}, {"a": 4, "b": 1, "c": 9}, {"a": 2, "b": 1, "c": 3}]

    explanation = explain(
        lambda row: 3 * row["a"] - 2 * row["b"] + row["c"], {"a": 5, "b": 2, "c": 6}, references, floats("a", "b", "c")
    )

    assert by_feature(explanation) == pytest.approx({"a": 9, "b": -2, "c": 0})
    assert [each.feature for each in explanation.contributions] == ["a", "b", "c"]
    assert explanation.average == 3 * 2 - 2 + 6
    assert explanation.of == "prediction"


def test_what_two_features_do_together_is_divided_evenly():
    references = [{"a": 0, "b": 0, "c": 7}] * 32

    explanation = explain(lambda row: row["a"] * row["b"], {"a": 2, "b": 3, "c": 1}, references, floats("a", "b", "c"))

    assert by_feature(explanation) == pytest.approx({"a": 3, "b": 3, "c": 0})


def test_what_does_not_differ_adds_nothing_and_costs_nothing():
    features = {**floats("a", "b"), "s": ModelFeature("s", "DT_STRING"), "n": ModelFeature("n", "DT_INT64")}

    explanation = explain(lambda row: row["b"], {"a": None, "b": 2, "s": "x"}, [{"b": 1, "s": "x"}] * 32, features)

    assert by_feature(explanation) == {"b": 1, "a": 0, "s": 0, "n": 0}
    assert explanation.rows_asked == 1 + 32
    assert explain(lambda row: row["a"], {"a": 1}, [{"a": 1}] * 32, floats("a")).rows_asked == 1


values = st.fixed_dictionaries(
    {},
    optional={
        "number": st.none() | st.floats(-10, 10, width=32),
        "count": st.none() | st.integers(-5, 5),
        "word": st.none() | st.sampled_from(["a", "b", "never seen", "Köln"]),
        "words": st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=4),
        "pair": st.none() | st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2),
    },
)
FEATURES = {
    **floats("number"),
    "count": ModelFeature("count", "DT_INT64"),
    "word": ModelFeature("word", "DT_STRING"),
    "words": ModelFeature("words", "DT_STRING", is_list=True),
    "pair": ModelFeature("pair", "DT_FLOAT", is_list=True, size=2),
}


def jagged(row: Mapping[str, Any]) -> float:
    """A function without any order, of everything that a row holds; lists count as far as their first missing value."""
    text = str([value[: value.index(b"")] if isinstance(value, list) and b"" in value else value for value in row.values()])
    return (sum(map(ord, text)) * 7919 % 1000) / 1000


@settings(max_examples=50)
@given(values, st.lists(values, min_size=1, max_size=32), st.sampled_from([1, 3, 1000]))
def test_contributions_add_up_to_the_difference_from_the_average(row, references, max_rows):
    explanation = explain(jagged, row, references, FEATURES, max_rows)

    (encoded,) = explain_rows([row])
    assert explanation.average + sum(by_feature(explanation).values()) == pytest.approx(jagged(encoded), abs=1e-9)
    assert {each.feature for each in explanation.contributions} == set(FEATURES)
    assert explanation == explain(jagged, row, references, FEATURES, max_rows)
    json.dumps([each.value for each in explanation.contributions], allow_nan=False)


def explain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    columns = encode_rows(rows, FEATURES)
    return [dict(zip(FEATURES, each, strict=True)) for each in zip(*(columns[name] for name in FEATURES), strict=True)]


def test_values_are_shown_as_a_person_knows_them():
    row = {"number": math.nan, "count": "2013-04-01", "word": "Köln", "words": ["a", "b"], "pair": [0.5, None]}

    explanation = explain(jagged, row, [{}] * 2, FEATURES)

    assert {each.feature: each.value for each in explanation.contributions} == {
        "number": None,
        "count": 1364774400,
        "word": "Köln",
        "words": ["a", "b"],
        "pair": [0.5, None],
    }


@pytest.mark.parametrize("width", [127, 128, 129, 500, 1000, 3000])
def test_a_wide_table_is_explained_by_fewer_walks(width):
    names = [f"column_{number}" for number in range(width)]
    references = [dict.fromkeys(names, float(number)) for number in range(32)]
    features = floats(*names)

    walks = Walks(encode_rows([dict.fromkeys(names, 99.0)], features), encode_rows(references, features), features)

    assert walks.num_rows <= max(MAX_ROWS_ASKED, 2 * width) + 1
    assert walks.num_rows % (2 * width) == 1


LATE = {"carrier": "UA", "departure": 900, "distance": 1400}
REFERENCES = [{"carrier": "DL", "departure": 7}, {"distance": 20.5}, {"carrier": "UA", "departure": 900, "distance": 1400.0}]


@pytest.fixture
def server(server):
    server.references = REFERENCES
    return server


def test_a_served_model_is_explained_over_both_protocols(server, protocol):
    with Client(server.address(protocol)) as client:
        first, second = client.predict([LATE, {}], explain=True)
        (plain,) = client.predict([LATE])

    assert (first.label, first.score, first.version) == (plain.label, plain.score, 3)
    for one in (first, second):
        assert one.explanation.of == "score"
        total = one.explanation.average + sum(by_feature(one.explanation).values())
        assert total == pytest.approx(one.score, abs=1e-6)
    assert {each.feature: each.value for each in first.explanation.contributions} == LATE
    assert {each.value for each in second.explanation.contributions} == {None}
    assert server.calls.count("reference") == 1


def test_grpc_and_rest_explain_the_same(server):
    explanations = []
    for protocol in ("grpc", "rest"):
        with Client(server.address(protocol)) as client:
            explanations.append(client.predict([LATE], explain=True)[0].explanation)

    assert explanations[0] == explanations[1]


def test_of_several_classes_the_most_probable_one_is_explained(server, protocol):
    server.outputs = {"labels": ("DT_INT64", 1), "probabilities": ("DT_FLOAT", 3)}
    server.model = lambda columns: {
        "labels": [1] * len(columns["distance"]),
        "probabilities": [
            share for far in columns["distance"] for share in ((0.25, 0.5, 0.25) if far > 100 else (0.75, 0.25, 0))
        ],
    }

    with Client(server.address(protocol)) as client:
        (one,) = client.predict([LATE], explain=True)

    assert one.explanation.of == "probability"
    # A third of the 32 references, those in the place of the third, are as far.
    assert one.explanation.average == pytest.approx((10 * 0.5 + 22 * 0.25) / 32)
    assert by_feature(one.explanation) == pytest.approx({"distance": 22 * 0.25 / 32, "carrier": 0, "departure": 0})


def test_many_rows_are_asked_in_parts(server, protocol):
    with Client(server.address(protocol)) as client, Client(server.address(protocol), max_rows=7) as small:
        assert small.predict([LATE], explain=True)[0].explanation == client.predict([LATE], explain=True)[0].explanation

    assert max(len(columns["carrier"]) for columns in server.received[:-1]) == 7


def test_a_model_without_reference_rows_says_what_to_do(server, protocol):
    server.references = []

    with Client(server.address(protocol)) as client, pytest.raises(NotExplainableError) as caught:
        client.predict([{}], explain=True)

    assert "Version 3 of 'flights'" in caught.value.what
    assert "training.explainable: true" in caught.value.fix


def test_a_wrong_row_is_named(server, protocol):
    with Client(server.address(protocol)) as client, pytest.raises(FeatureError) as caught:
        client.predict([LATE, {"distance": "far"}], explain=True)

    assert caught.value.where == "row 2, feature 'distance'"


def test_a_new_version_is_compared_with_its_own_rows(server, protocol):
    with Client(server.address(protocol)) as client:
        before = client.predict([LATE], explain=True)[0]
        server.versions, server.references = {4: "AVAILABLE"}, [LATE]
        after = client.predict([LATE], explain=True)[0]

    assert (before.version, after.version) == (3, 4)
    assert after.explanation.average == after.score
    assert before.explanation.average != before.score


def test_a_version_that_is_made_anew_is_compared_with_its_own_rows(server, protocol):
    server.digest = "a1"
    with Client(server.address(protocol)) as client:
        before = client.predict([LATE], explain=True)[0]
        server.digest, server.references = "b2", [LATE]
        after = client.predict([LATE], explain=True)[0]

    assert (before.version, before.digest, after.version, after.digest) == (3, "a1", 3, "b2")
    assert after.explanation.average == after.score


def test_rows_of_two_versions_are_never_compared(server):
    """Over gRPC, the server chooses the version of each call."""
    model = server.model

    def take_turns(columns):
        server.versions = {7 - next(iter(server.versions)): "AVAILABLE"}
        return model(columns)

    server.model = take_turns
    with Client(server.address("grpc"), max_rows=5) as client, pytest.raises(UnknownModelError) as caught:
        client.predict([LATE], explain=True)

    assert "was replaced while it was asked" in caught.value.what


@settings(max_examples=10)
@given(st.sampled_from(["UA", None, "never seen"]), st.none() | st.integers(0, 10_000))
def test_any_row_that_is_answered_is_explained(server, carrier, distance):
    with Client(server.address("grpc")) as client:
        (one,) = client.predict([{"carrier": carrier, "distance": distance}], explain=True)

    assert one.explanation.average + sum(by_feature(one.explanation).values()) == pytest.approx(one.score, abs=1e-6)
