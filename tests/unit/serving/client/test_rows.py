"""Rows from files and text."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from serving.client import ModelFeature
from serving.client.features import encode_rows
from serving.client.rows import parse_csv, parse_json, parse_text, read_json

FEATURES = {
    name: ModelFeature(name, dtype)
    for name, dtype in {"carrier": "DT_STRING", "departure": "DT_INT64", "distance": "DT_FLOAT"}.items()
}

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"))
known_rows = st.fixed_dictionaries(
    {
        "carrier": st.none() | texts.filter(bool),
        "departure": st.none() | st.integers(1 - 2**63, 2**63 - 1),
        "distance": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    }
)


@given(st.lists(known_rows, min_size=1, max_size=5))
def test_csv_and_json_mean_the_same(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(FEATURES), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)

    expected = repr(encode_rows(rows, FEATURES))
    assert repr(encode_rows(parse_csv(file.getvalue(), FEATURES, "rows.csv"), FEATURES)) == expected
    assert repr(encode_rows(parse_json(json.dumps(rows), "--json"), FEATURES)) == expected


def test_a_field_means_what_the_feature_takes():
    text = (
        'carrier,departure,distance,note\n007,2013-04-01T06:30:00Z, 1400 ,7\n"Köln, ""Bonn""",7.0,1e3,\n,,,\n\nNA,true,nan,x\n'
    )

    rows = parse_csv(text, FEATURES, "rows.csv")

    assert rows[0] == {"carrier": "007", "departure": "2013-04-01T06:30:00Z", "distance": 1400, "note": "7"}
    assert rows[1] == {"carrier": 'Köln, "Bonn"', "departure": 7.0, "distance": 1000.0, "note": None}
    assert rows[2] == dict.fromkeys(rows[0])
    assert rows[3]["departure"] is True
    assert math.isnan(rows[3]["distance"])
    known = [{name: row[name] for name in FEATURES} for row in rows]
    assert encode_rows(known, FEATURES)["departure"] == [1_364_797_800, 7, -(2**63), 1]


@pytest.mark.parametrize("field", ["1_000", "far", "0x10", "1,5", "12:30"])
def test_what_is_no_number_stays_text_for_the_feature_to_refuse(field):
    (row,) = parse_csv(f'distance\n"{field}"\n', FEATURES, "rows.csv")

    assert row == {"distance": field}


@pytest.mark.parametrize("text", ['{"a": 1}', ' [{"a": 1}]', '{"a": 1}\n\n', '\ufeff{"a": 1}', "a\n1\n", "\ufeffa\r\n1\r\n"])
def test_text_is_json_or_csv(text):
    assert parse_text(text.encode(), {"a": ModelFeature("a", "DT_INT64")}, "standard input") == [{"a": 1}]


def test_a_row_a_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": null}\n')

    assert read_json(path) == [{"a": 1}, {"a": None}]


@pytest.mark.parametrize(
    ("content", "where", "told"),
    [
        ("a,b\n1,2\n1,2,3\n", "line 3", "3 fields: 1,2,3"),
        ("a,b\n1\n", "line 2", "1 fields"),
        ('a,b\n"x" y,2\n', "line 2", "'\"'"),
        ("a,a\n1,2\n", "line 1", "a, a"),
        ("a,,b\n1,2,3\n", "line 1", "(none)"),
        ("a,b\n", "standard input", "0 rows"),
        ("", "standard input", "0 rows"),
        (b"a\nK\xf6ln\n", "line 2", "0xf6"),
    ],
)
def test_bad_csv_is_told_with_its_line(content, where, told):
    with pytest.raises(DataError) as caught:
        parse_text(content if isinstance(content, bytes) else content.encode(), FEATURES, "standard input")

    assert where in caught.value.where
    assert told in caught.value.seen


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"carrier": UA}', "line 1 column 13"),
        ('{"a": 1}\n{"a": }', "Extra data"),
        ("[]", "0 rows"),
        ('[{"a": 1}, 7]', "7"),
        ("7", "7"),
        ("", "Expecting value"),
    ],
)
def test_bad_json_is_told_with_its_place(text, told):
    with pytest.raises(DataError) as caught:
        parse_json(text, "--json")

    assert "--json" in caught.value.where
    assert told in caught.value.seen


def test_the_number_of_a_row_that_is_none():
    with pytest.raises(DataError) as caught:
        parse_json('[{"a": 1}, [1]]', "rows.json")

    assert caught.value.where == "rows.json, row 2"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as caught:
        read_json(tmp_path / "rows.json")

    assert caught.value.where.endswith("rows.json")
    assert "No such file" in caught.value.seen
