from __future__ import annotations

import datetime
import decimal
import math
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2

from components.shared.examples.encoder import ColumnError, encode
from components.shared.examples.kinds import Kind, kind_of

_INT64 = st.integers(-(2**63), 2**63 - 1)
_FLOAT32 = st.floats(width=32)
_TEXT = st.text(max_size=200)
_NAME = st.text(min_size=1, max_size=140)


def _decode(batch: pa.RecordBatch, kinds: dict[str, Kind] | None = None) -> list[dict[str, list[Any]]]:
    kinds = kinds or {field.name: kind_of(field.type) or Kind.EMPTY for field in batch.schema}
    rows = []
    for serialized in encode(batch, kinds).to_pylist():
        features = example_pb2.Example.FromString(serialized).features.feature
        rows.append({name: list(getattr(feature, feature.WhichOneof("kind")).value) for name, feature in features.items()})
    return rows


def _bits(values: list[Any]) -> list[Any]:
    return [struct.pack("<f", value) if isinstance(value, float) else value for value in values]


@given(st.lists(st.tuples(st.none() | _INT64, st.none() | _FLOAT32, st.none() | _TEXT), min_size=1, max_size=20))
def test_scalars_are_one_value_each_and_nulls_none(rows: list[tuple[int | None, float | None, str | None]]) -> None:
    integers, floats, texts = (list(column) for column in zip(*rows, strict=True))
    batch = pa.record_batch(
        {"i": pa.array(integers, pa.int64()), "f": pa.array(floats, pa.float32()), "t": pa.array(texts, pa.string())}
    )
    for (integer, number, text), seen in zip(rows, _decode(batch), strict=True):
        expected = {"i": integer, "f": number, "t": text.encode() if text else None}
        assert {name: _bits(values) for name, values in seen.items()} == {
            name: _bits([value]) for name, value in expected.items() if value is not None
        }


@given(
    st.lists(st.none() | st.lists(st.none() | _INT64, max_size=40), min_size=1, max_size=8),
    st.lists(st.none() | st.lists(st.none() | _TEXT, max_size=5), min_size=1, max_size=8),
)
def test_lists_are_as_many_values(integers: list[list[int | None] | None], texts: list[list[str | None] | None]) -> None:
    for values, arrow_type in ((integers, pa.int64()), (texts, pa.string())):
        expected = [
            [value.encode() if isinstance(value, str) else value for value in row or () if value is not None] for row in values
        ]
        for list_type in (pa.list_(arrow_type), pa.large_list(arrow_type)):
            seen = _decode(pa.record_batch({"x": pa.array(values, list_type)}))
            assert [row.get("x", []) for row in seen] == expected


@given(st.lists(_NAME, min_size=1, max_size=8, unique=True))
def test_bytes_are_those_of_protocol_buffers(names: list[str]) -> None:
    names = [f"{index}{name}" for index, name in enumerate(names)]  # upb sorts a name after those it begins
    [serialized] = encode(
        pa.record_batch([pa.array([index]) for index in range(len(names))], names=names), dict.fromkeys(names, Kind.INTEGER)
    ).to_pylist()
    example = example_pb2.Example()
    for index, name in enumerate(names):
        example.features.feature[name].int64_list.value.append(index)
    assert serialized == example.SerializeToString(deterministic=True)


def test_sliced_batches_are_the_rows_they_show() -> None:
    batch = pa.record_batch({"t": ["a", None, "c", "d"], "x": [[1], [2, 3], None, [4]], "n": [1, 2, 3, None]}).slice(1, 2)
    assert _decode(batch) == [{"x": [2, 3], "n": [2]}, {"t": [b"c"], "n": [3]}]


@pytest.mark.parametrize(
    ("value", "arrow_type", "expected"),
    [
        (True, pa.bool_(), 1),
        (-128, pa.int8(), -128),
        (decimal.Decimal("1.5"), pa.decimal128(5, 2), 1.5),
        (datetime.date(1969, 12, 31), pa.date32(), -86_400),
        (datetime.date(2013, 1, 1), pa.date64(), 1_356_998_400),
        (datetime.datetime(2013, 1, 1), pa.timestamp("ns"), 1_356_998_400),
        (datetime.datetime(2013, 1, 1, tzinfo=datetime.timezone.utc), pa.timestamp("s", "America/New_York"), 1_356_998_400),
        (-1, pa.timestamp("ms"), -1),
        (b"\xff", pa.binary(), b"\xff"),
        ("x", pa.dictionary(pa.int8(), pa.string()), b"x"),
        (b"ab", pa.binary(2), b"ab"),
        (2, pa.dictionary(pa.int8(), pa.int64()), 2),
    ],
)
def test_types(value: Any, arrow_type: pa.DataType, expected: Any) -> None:
    column = pa.array([value, None], arrow_type)
    assert _decode(pa.record_batch({"x": column})) == [{"x": [expected]}, {}]


def test_lists_of_a_fixed_size() -> None:
    column = pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2))
    assert _decode(pa.record_batch({"x": column})) == [{"x": [1, 2]}, {}, {"x": [3]}]


def test_an_integer_column_may_be_a_float_column_elsewhere() -> None:
    batch = pa.record_batch({"x": [1, None, 2**60 + 1]})
    assert _decode(batch, {"x": Kind.FLOAT}) == [{"x": [1.0]}, {}, {"x": [2.0**60]}]


def test_a_float_beyond_32_bits_is_infinite() -> None:
    [row] = _decode(pa.record_batch({"x": [1e300]}))
    assert math.isinf(row["x"][0])


def test_an_integer_beyond_64_bits_names_its_column() -> None:
    with pytest.raises(ColumnError) as caught:
        encode(pa.record_batch({"big": pa.array([2**63], pa.uint64())}), {"big": Kind.INTEGER})
    assert caught.value.column == "big"


def test_rows_of_nulls_are_empty_examples() -> None:
    assert _decode(pa.record_batch({"x": pa.array([None, None], pa.null())})) == [{}, {}]
    assert _decode(pa.record_batch({"x": pa.array([None, None], pa.string())})) == [{}, {}]
