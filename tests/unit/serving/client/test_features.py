"""Raw values as the model takes them."""

from __future__ import annotations

import datetime
import math
import struct
from decimal import Decimal
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.client import ModelFeature
from serving.client.features import encode_rows
from serving.errors import FeatureError

UTC = datetime.timezone.utc
FLOAT, INTEGER, STRING = (
    ModelFeature("distance", "DT_FLOAT"),
    ModelFeature("departure", "DT_INT64"),
    ModelFeature("carrier", "DT_STRING"),
)
FEATURES = {feature.name: feature for feature in (FLOAT, INTEGER, STRING)}
SMALLEST, LARGEST = -(2**63), 2**63 - 1

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
)
anything = st.one_of(scalars, st.lists(st.integers(), max_size=3), st.dictionaries(st.text(), st.integers(), max_size=2))


def _tried(feature, value):
    try:
        return feature.encode(value), None
    except FeatureError as error:
        return None, error


@given(anything)
@example(10**5000)
@example(Decimal("sNaN"))
@example(Decimal("1e999999"))
@example(10**400)
@example("2013-04-01T25:00")
@example("\ud800")
@example(datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=14))))
def test_any_value_is_encoded_in_its_type_or_refused_by_the_features_name(value):
    for feature, kind in ((FLOAT, float), (INTEGER, int), (STRING, bytes)):
        encoded, refusal = _tried(feature, value)
        if refusal:
            assert feature.name in refusal.what
            assert refusal.expected
            assert len(refusal.seen) < 100
        else:
            assert type(encoded) is kind
            assert feature is not INTEGER or SMALLEST <= encoded <= LARGEST


@given(st.text())
def test_text_arrives_as_utf_8(text):
    assert STRING.encode(text).decode() == text


@given(st.integers(SMALLEST + 1, LARGEST))
def test_integers_arrive_as_they_are(number):
    assert INTEGER.encode(number) == number


@given(st.one_of(st.integers(max_value=SMALLEST), st.integers(min_value=LARGEST + 1)))
def test_integers_of_more_than_64_bits_are_refused(number):
    with pytest.raises(FeatureError) as caught:
        INTEGER.encode(number)

    assert "from -9223372036854775807 to 9223372036854775807" in caught.value.expected


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_32_bit_floats_arrive_as_they_are(number):
    assert FLOAT.encode(number) == number


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-3.4e38, max_value=3.4e38))
def test_other_floats_are_rounded_as_the_pipeline_rounds_them(number):
    assert FLOAT.encode(number) == np.float32(number)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_the_same_in_every_form(moment):
    seconds = (moment - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(seconds=1)

    forms = [moment, moment.replace(tzinfo=None), moment.isoformat(), moment.replace(tzinfo=None).isoformat(" ")]
    assert [INTEGER.encode(form) for form in forms] == [seconds] * len(forms)


@pytest.mark.parametrize("nothing", [None, math.nan, np.float32("nan"), Decimal("nan"), pd.NaT, np.datetime64("NaT")])
def test_what_is_missing_becomes_what_the_model_takes_for_it(nothing):
    assert math.isnan(FLOAT.encode(nothing))
    assert INTEGER.encode(nothing) == SMALLEST
    assert STRING.encode(nothing) == b""


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        (INTEGER, datetime.date(2013, 1, 2), 1_357_084_800),
        (INTEGER, "2013-01-02", 1_357_084_800),
        (INTEGER, "2013-01-02T00:00:00Z", 1_357_084_800),
        (INTEGER, "2013-01-02T02:00:00+02:00", 1_357_084_800),
        (INTEGER, datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000), -1),
        (INTEGER, np.datetime64("2013-01-02T00:00:00", "ns"), 1_357_084_800),
        (INTEGER, pd.Timestamp("2013-01-02"), 1_357_084_800),
        (INTEGER, np.int32(7), 7),
        (INTEGER, 7.0, 7),
        (INTEGER, Decimal("7"), 7),
        (INTEGER, True, 1),
        (FLOAT, 7, 7.0),
        (FLOAT, np.float64(0.1), struct.unpack("f", struct.pack("f", 0.1))[0]),
        (FLOAT, np.bool_(True), 1.0),
        (STRING, "ü", "ü".encode()),
        (STRING, b"\xff", b"\xff"),
        (STRING, np.str_("UA"), b"UA"),
    ],
)
def test_values_of_other_kinds_that_mean_the_same(feature, value, expected):
    assert feature.encode(value) == expected


@pytest.mark.parametrize("infinite", [math.inf, -math.inf, np.float32("inf"), Decimal("-Infinity")])
def test_an_infinite_number_is_no_value_as_in_training(infinite):
    assert math.isnan(FLOAT.encode(infinite))


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        (FLOAT, "1400", "a number"),
        (FLOAT, 1e39, "3.4e38"),
        (FLOAT, 10**50, "3.4e38"),
        (FLOAT, [1400], "a number"),
        (FLOAT, np.array([1400.0]), "a number"),
        (INTEGER, 7.5, "an integer"),
        (INTEGER, "7", "ISO 8601"),
        (INTEGER, "2013-04-01T25:00", "such as 2013-04-01T06:30:00Z"),
        (INTEGER, np.timedelta64(1, "s"), "an integer"),
        (STRING, 7, "text"),
        (STRING, "\ud800", "UTF-8"),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(feature, value, expected):
    with pytest.raises(FeatureError) as caught:
        feature.encode(value)

    assert expected in caught.value.expected
    assert "null where there is no value" in caught.value.expected
    assert repr(value) in caught.value.seen
    assert type(value).__name__ in caught.value.seen


def test_a_long_value_is_shortened():
    with pytest.raises(FeatureError) as caught:
        FLOAT.encode("x" * 10_000)

    assert len(caught.value.seen) < 100


@given(
    st.lists(st.fixed_dictionaries({}, optional={"carrier": st.none() | st.text(), "distance": st.none() | st.integers(0, 9)}))
)
def test_columns_have_a_value_for_every_row(rows):
    columns = encode_rows(rows, FEATURES)

    assert set(columns) == set(FEATURES)
    assert [value.decode() for value in columns["carrier"]] == [row.get("carrier") or "" for row in rows]
    assert columns["departure"] == [SMALLEST] * len(rows)


def test_the_row_and_the_feature_are_named():
    with pytest.raises(FeatureError) as caught:
        encode_rows([{}, {"distance": "far"}], FEATURES, first=1025)

    assert caught.value.where == "row 1026, feature 'distance'"


def test_an_unknown_feature_is_refused_with_the_one_that_was_meant():
    with pytest.raises(FeatureError) as caught:
        encode_rows([{"carier": "UA"}], FEATURES)

    assert caught.value.where == "row 1"
    assert "'carier'" in caught.value.what
    assert "carrier, departure, distance" in caught.value.expected
    assert caught.value.fix == "Did you mean 'carrier'?"


def test_a_feature_unlike_any_other_is_to_be_left_out():
    with pytest.raises(FeatureError) as caught:
        encode_rows([{1: 2}], FEATURES)

    assert caught.value.fix == "Leave it out."


@pytest.mark.parametrize("row", ["UA", ["UA"], None, 7])
def test_a_row_that_is_none_is_refused(row):
    with pytest.raises(FeatureError) as caught:
        encode_rows([{}, row], FEATURES)

    assert caught.value.where == "row 2"
    assert "mapping" in caught.value.what


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"carrier": st.text(), "departure": st.integers(0, 9), "distance": st.floats()})
    )
)
def test_rows_that_are_encoded_already_give_the_same_columns(rows):
    once = [
        {name: FEATURES[name].encode(value) if name != "carrier" else value for name, value in row.items()}
        | {"of_another_version": 1}
        for row in rows
        if math.isfinite(row.get("distance", 0)) and abs(row.get("distance", 0)) < 3e38
    ]
    raw = [{name: value for name, value in row.items() if name != "of_another_version"} for row in once]

    assert repr(encode_rows(once, FEATURES, encoded=FEATURES)) == repr(encode_rows(raw, FEATURES))


def test_values_that_were_encoded_for_another_type_are_encoded_again():
    before = {"departure": ModelFeature("departure", "DT_FLOAT"), "gone": ModelFeature("gone", "DT_INT64")}

    assert encode_rows([{"departure": 7.0, "gone": 1}], {"departure": INTEGER}, encoded=before) == {"departure": [7]}

    with pytest.raises(FeatureError) as caught:
        encode_rows([{"departure": 7.5, "gone": 1}], {"departure": INTEGER}, encoded=before)
    assert caught.value.where == "row 1, feature 'departure'"


def test_a_feature_that_rows_were_not_encoded_for_is_missing():
    assert encode_rows([{}], FEATURES, encoded={}) == {**encode_rows([{}], FEATURES), "distance": [mock.ANY]}


TAGS, NUMBERS, VECTOR = (
    ModelFeature("tags", "DT_STRING", is_list=True),
    ModelFeature("numbers", "DT_FLOAT", is_list=True),
    ModelFeature("vector", "DT_INT64", is_list=True, size=2),
)
LISTS = {feature.name: feature for feature in (TAGS, NUMBERS, VECTOR)}


def test_lists_are_padded_with_a_missing_value_at_each_end():
    rows = [{"tags": ["a", None, "b", ""], "numbers": np.array([1.5, math.nan]), "vector": (1, None)}, {"numbers": []}]

    columns = encode_rows(rows, LISTS)

    assert columns["tags"] == [[b"a", b"b", b""], [b"", b"", b""]]
    assert columns["numbers"] == [[1.5, mock.ANY], [mock.ANY, mock.ANY]]
    assert all(math.isnan(row[-1]) for row in columns["numbers"])
    assert columns["vector"] == [[1, SMALLEST], [SMALLEST, SMALLEST]]


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        (TAGS, "a", "a list"),
        (TAGS, [1], "text"),
        (TAGS, {"a": 1}, "a list"),
        (NUMBERS, 1.5, "a list"),
        (NUMBERS, [[1.5]], "a number"),
        (VECTOR, [1], "a list of 2 values"),
        (VECTOR, np.zeros(3), "a list of 2 values"),
        (VECTOR, [1, 1.5], "an integer"),
    ],
)
def test_what_is_no_list_is_refused(feature, value, expected):
    with pytest.raises(FeatureError) as caught:
        feature.encode(value)

    assert caught.value.expected == f"{expected}, or null where there is no value"


def test_an_empty_list_is_no_value_whatever_the_length_of_the_others():
    assert [VECTOR.encode(value) for value in ([], (), np.array([]), None)] == [[], [], [], []]
    assert encode_rows([{"vector": []}], LISTS)["vector"] == [[SMALLEST, SMALLEST]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_in_an_array_are_seconds_whatever_their_unit(unit):
    assert VECTOR.encode(np.array(["2020-01-01", "1969-12-31T23:59:59.5"], f"datetime64[{unit}]")) == [1577836800, -1]


def test_lists_that_are_encoded_already_give_the_same_columns():
    rows = [{"tags": ["a", "", "b"], "numbers": [0.5], "vector": [1, 2]}, {"tags": None, "vector": None}]
    once = [{name: value if name == "tags" else LISTS[name].encode(value) for name, value in row.items()} for row in rows]

    assert repr(encode_rows(once, LISTS, encoded=LISTS)) == repr(encode_rows(rows, LISTS))
