"""Which columns the model sees, and how."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.schema import Schema, parse_schema
from pipeline.errors import ConfigError
from pipeline.training.features import Bucketised, Categorical, FeaturePlan, Text, Time, Vector, vocabulary_key
from pipeline.training.settings import TransformSettings, kinds_from_schema
from tests.fakes.names import names

DTYPES = {"late": "int", "distance": "float", "seats": "int", "carrier": "string", "departure": "int"}


def _settings(features: dict[str, Any] | None = None, label: str = "late", **preprocessing: Any) -> TransformSettings:
    return TransformSettings.model_validate({"label": label, "features": features or {}, "preprocessing": preprocessing})


def test_without_settings_the_type_decides() -> None:
    plan = FeaturePlan.of(_settings(), DTYPES, {})
    assert plan.numeric == ("departure", "distance", "seats")
    assert plan.categorical == (Categorical("carrier", 1000, 1, None),)
    assert plan.bucketised == plan.time == ()


def test_settings_of_a_column_go_before_its_type() -> None:
    features = {
        "seats": {"kind": "categorical", "embedding": 4, "vocabulary": 50},
        "departure": {"kind": "time", "parts": ["minute_of_hour"]},
        "carrier": {"kind": "ignore"},
        "distance": {"buckets": 7},
    }
    plan = FeaturePlan.of(_settings(features), DTYPES, {})
    assert plan == FeaturePlan(
        numeric=(),
        bucketised=(Bucketised("distance", 7),),
        categorical=(Categorical("seats", 50, 1, 4),),
        time=(Time("departure", ("minute_of_hour",)),),
    )
    assert plan.names == ("departure", "distance", "seats")


@pytest.mark.parametrize(
    ("options", "group"),
    [({"buckets": 3}, "bucketised"), ({"parts": ["day_of_week"]}, "time"), ({"oov_buckets": 2}, "categorical")],
)
def test_an_option_implies_the_kind_it_belongs_to(options: dict[str, Any], group: str) -> None:
    plan = FeaturePlan.of(_settings({"seats": options}), DTYPES, {})
    assert [column.name for column in getattr(plan, group)][-1] == "seats"


def test_a_time_itself_is_a_number_beside_its_cycles() -> None:
    features = {"departure": {"kind": "time", "parts": ["elapsed", "day_of_week"]}, "seats": {"parts": ["elapsed"]}}
    plan = FeaturePlan.of(_settings(features), DTYPES, {})
    assert plan.numeric == ("departure", "distance", "seats")
    assert plan.time == (Time("departure", ("day_of_week",)),)
    assert plan.names == ("carrier", "departure", "distance", "seats")


def test_numeric_buckets_hold_for_every_numeric_column_but_those_with_their_own() -> None:
    plan = FeaturePlan.of(_settings({"seats": {"buckets": 4}}, numeric_buckets=10), DTYPES, {})
    assert [(column.name, column.size) for column in plan.bucketised] == [("departure", 11), ("distance", 11), ("seats", 5)]


def test_lists_are_pooled_vectors_or_bags_of_what_their_values_would_be() -> None:
    dtypes = dict.fromkeys(("late", "n", "fixed", "binned", "ids", "when"), "int") | {"tags": "string"}
    features = {"ids": {"kind": "categorical"}, "binned": {"buckets": 4}, "when": {"kind": "time"}}
    lists = dict.fromkeys(("n", "binned", "ids", "when", "tags"), None) | {"fixed": 3}
    plan = FeaturePlan.of(_settings(features), dtypes, lists)
    assert plan == FeaturePlan(
        pooled=("n",),
        vectors=(Vector("fixed", 3),),
        time=(Time("when", ("hour_of_day", "day_of_week"), is_list=True),),
        bags=(Bucketised("binned", 4), Categorical("ids", 1000, 1, None), Categorical("tags", 1000, 1, None)),
    )
    assert plan.names == ("binned", "fixed", "ids", "n", "tags", "when")


@pytest.mark.parametrize("options", [{"kind": "text"}, {"hash_buckets": 50, "embedding": 3}])
def test_a_text_is_a_bag_of_words(options: dict[str, Any]) -> None:
    [text] = FeaturePlan.of(_settings({"carrier": options}), DTYPES, {}).bags
    assert text == Text("carrier", options.get("hash_buckets", 4096), options.get("embedding"))


def test_a_label_is_no_list() -> None:
    with pytest.raises(ConfigError, match="label 'late' has several values") as error:
        FeaturePlan.of(_settings(), DTYPES, {"late": None})
    assert error.value.where == "column late"


def test_an_unknown_column_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError, match="no column 'distanse'") as error:
        FeaturePlan.of(_settings({"distanse": {"kind": "numeric"}}), DTYPES, {})
    assert error.value.where == "features.distanse"
    assert error.value.fix == "Did you mean 'distance'?"


@pytest.mark.parametrize(
    ("column", "kind"),
    [("carrier", "numeric"), ("distance", "categorical"), ("distance", "time"), ("seats", "text")],
)
def test_a_kind_must_suit_the_type(column: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"'{column}' cannot be {kind}"):
        FeaturePlan.of(_settings({column: {"kind": kind}}), DTYPES, {})


def test_some_column_must_be_left() -> None:
    with pytest.raises(ConfigError, match="No column is left"):
        FeaturePlan.of(_settings({"carrier": {"kind": "ignore"}}), {"late": "int", "carrier": "string"}, {})


def test_what_a_schema_says_of_its_columns() -> None:
    schema = Schema.of(
        parse_schema(
            b"""
        feature { name: "departure" type: INT time_domain { integer_format: UNIX_SECONDS } }
        feature { name: "seats" type: INT int_domain { is_categorical: true } }
        feature { name: "distance" type: INT int_domain { min: 1 } }
        """,
            "schema.pbtxt",
        )
    )
    assert kinds_from_schema(schema) == {"departure": "time", "seats": "categorical"}


@given(st.dictionaries(names, st.sampled_from(["int", "float", "string"]), min_size=1))
def test_every_column_has_a_place_and_every_vocabulary_a_key(dtypes: dict[str, str]) -> None:
    plan = FeaturePlan.of(_settings(label=""), dtypes, {})
    assert plan.names == tuple(sorted(dtypes))
    keys = [column.key for column in plan.categorical]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[a-z0-9_-]{1,80}", key) for key in keys)


def test_a_plain_name_is_the_key_of_its_vocabulary() -> None:
    assert vocabulary_key("carrier_2") == "carrier_2"
    assert vocabulary_key("Prénom (%)").startswith("pr_nom-")
