from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from components.example_gen.columns import FileSummary
from components.example_gen.decision import Decision, decide
from components.example_gen.evidence import Evidence
from components.example_gen.rules import ColumnRules
from components.example_gen.text.forms import Form
from components.example_gen.text.notation import Notation
from components.example_gen.values import read
from components.shared.examples.kinds import Kind
from pipeline.errors import DataError

TEXTS = [
    *("1", "-2", "+3", "0.5", "1e7", "inf", "007", "+4915112345678", "12345678901234567890", "9007199254740993", "16777217"),
    *("true", "False", "NA", "?", "nan", "a", "100A", "2013-01-31", "2013-01-31T05:30:00Z", "31.01.2013", "01/02/2013"),
    *("31/01/2013", "01/31/2013", "$5"),
]


def of_texts(texts: list[str]) -> Evidence:
    return Evidence.of_text(pa.array(texts, pa.string()), Notation())


def of_type(arrow_type: pa.DataType) -> Evidence:
    return Evidence.of_type(arrow_type)


def decided(*files: Evidence, **rules: Any) -> Decision:
    return decide([FileSummary(f"{n}.csv", 1, {"x": seen}) for n, seen in enumerate(files)], ColumnRules(**rules))["x"]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ("1 -2", Kind.INTEGER),
        ("1 NA ? -", Kind.INTEGER),
        ("9223372036854775807 -9223372036854775808", Kind.INTEGER),
        ("1 2.5", Kind.FLOAT),
        ("nan -inf 1e-7", Kind.FLOAT),
        ("2.5 9007199254740993", Kind.TEXT),
        ("12345678901234567890 1", Kind.TEXT),
        ("0x1F 2", Kind.TEXT),
        ("02134 10025", Kind.TEXT),
        ("+4915112345678", Kind.TEXT),
        ("10025 N/A x", Kind.TEXT),
        ("US NA", Kind.TEXT),
        ("100 200 100A", Kind.TEXT),
        ("true False NA", Kind.BOOLEAN),
        ("true 1", Kind.INTEGER),
        ("true 0.5", Kind.FLOAT),
        ("2013-01-01 31.01.2013 NULL", Kind.TIME),
        ("2013-01-01T05:30:00Z 2013-01-01", Kind.ZONED_TIME),
        ("31/01/2013 01/02/2013", Kind.TIME),
        ("31/01/2013 01/31/2013", Kind.TEXT),
        ("2013-01-01 1", Kind.TEXT),
        ("12:30", Kind.TEXT),
        ("NA null", Kind.EMPTY),
        ("", Kind.EMPTY),
    ],
)
def test_a_kind_is_that_of_all_values(texts: str, kind: Kind) -> None:
    assert decided(of_texts(texts.split())).kind is kind


@settings(max_examples=40)
@given(st.lists(st.sampled_from(TEXTS) | st.text(max_size=4), min_size=1, max_size=12), st.data())
def test_neither_the_cut_into_files_nor_the_order_matters(texts: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=4)))
    shuffled = data.draw(st.permutations(texts))
    parts = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(texts)], strict=True)]
    whole = of_texts(texts)
    assert sum((of_texts(part) for part in parts), Evidence()) == whole
    assert Evidence.model_validate_json(whole.model_dump_json()) == whole
    assert decided(*(of_texts(part) for part in parts), dates="day_first") == decided(whole, dates="day_first")


@settings(max_examples=25)
@given(st.lists(st.sampled_from(TEXTS) | st.from_regex(r"[ +-]?[0-9.,/:TZ]{1,12}", fullmatch=True), min_size=1, max_size=6))
def test_what_the_values_decide_they_can_be_read_as(texts: list[str]) -> None:
    try:
        decision = decided(of_texts(texts))
    except DataError:  # dates that can be read in two ways
        reject()
    if decision.kind not in (Kind.EMPTY, Kind.TEXT):
        column = read(pa.array(texts), decision.kind, decision.day_first, Notation())
        nulls = of_texts(texts).forms.get(Form.NULL)
        assert column.null_count == (nulls.count if nulls else 0)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ([pa.int8(), pa.int64(), pa.null()], Kind.INTEGER),
        ([pa.bool_(), pa.uint64(), pa.float32()], Kind.FLOAT),
        ([pa.string(), pa.dictionary(pa.int8(), pa.large_string()), pa.binary()], Kind.TEXT),
        ([pa.string(), pa.int64()], Kind.TEXT),
        ([pa.date32(), pa.timestamp("ns"), pa.timestamp("us", "UTC")], Kind.ZONED_TIME),
        ([pa.decimal128(5, 2)], Kind.FLOAT),
        ([pa.null()], Kind.EMPTY),
    ],
)
def test_files_of_several_types_have_the_one_that_includes_all(types: list[pa.DataType], kind: Kind) -> None:
    assert decided(*map(of_type, types)).kind is kind


@pytest.mark.parametrize("types", [(pa.string(), pa.float64()), (pa.date32(), pa.int64()), (pa.bool_(), pa.string())])
def test_types_with_nothing_in_common_are_refused_and_may_be_read_as_text(types: tuple[pa.DataType, ...]) -> None:
    with pytest.raises(DataError, match="'x' differs from file to file") as caught:
        decided(*map(of_type, types))
    assert "Set data.columns: {x: text}" in caught.value.fix
    assert decided(*map(of_type, types), types={"x": "text"}).kind is Kind.TEXT


def test_a_type_that_examples_cannot_hold_is_refused_and_may_be_ignored() -> None:
    struct = of_type(pa.struct({"a": pa.int64()}))
    with pytest.raises(DataError, match="cannot hold") as caught:
        decided(of_type(pa.int64()), struct)
    assert caught.value.where == "1.csv"
    assert "features: {x: {kind: ignore}}" in caught.value.fix
    assert decide([FileSummary("a", 1, {"x": struct})], ColumnRules(ignored=("x",))) == {}


def test_dates_that_can_be_read_in_two_ways() -> None:
    either, day_first = of_texts(["01/02/2013", "2013-01-31"]), of_texts(["31/01/2013"])
    with pytest.raises(DataError, match="day first or the month first") as caught:
        decided(either)
    assert caught.value.where == "0.csv"
    assert decided(either, dates="month_first").day_first is False
    assert decided(either, dates="day_first").day_first is True
    assert decided(either, types={"x": "text"}).kind is Kind.TEXT
    assert decided(either, schema_types={"x": "bytes"}).kind is Kind.TEXT
    assert decided(either, features={"x": "categorical"}).kind is Kind.TEXT
    # Another file tells, and so does another column.
    assert decided(either, day_first).day_first is True
    assert decide([FileSummary("a", 1, {"x": either, "y": day_first})], ColumnRules())["x"].day_first is True


@pytest.mark.parametrize(
    ("texts", "schema_type", "stored"),
    [
        ("100 200", "bytes", Kind.TEXT),
        ("2013-01-31", "bytes", Kind.TEXT),
        ("NA", "bytes", Kind.TEXT),
        ("1 2", "float", Kind.FLOAT),
        ("true", "float", Kind.FLOAT),
        ("NA", "float", Kind.FLOAT),
        ("1.0 2", "int", Kind.INTEGER),
        ("007", "int", Kind.INTEGER),
        ("true", "int", Kind.BOOLEAN),
        ("2013-01-31", "int", Kind.TIME),
        ("", "bytes", Kind.EMPTY),
    ],
)
def test_the_schema_goes_before_the_values(texts: str, schema_type: str, stored: Kind) -> None:
    seen = of_texts(texts.split())
    assert decided(seen, schema_types={"x": schema_type}).kind is stored
    assert decided(seen, schema_types={"x": schema_type}, is_model=True).kind is stored


def test_integers_may_be_the_text_that_a_model_knows() -> None:
    assert decided(of_type(pa.int64()), schema_types={"x": "bytes"}, is_model=True).kind is Kind.TEXT


@pytest.mark.parametrize(
    ("seen", "schema_type"),
    [
        (of_texts(["a"]), "float"),
        (of_texts(["2013-01-31"]), "float"),
        (of_texts(["a", "1"]), "int"),
        (of_type(pa.float64()), "bytes"),
        (of_type(pa.string()), "int"),
    ],
)
def test_a_column_of_another_type_than_the_models_is_refused(seen: Evidence, schema_type: str) -> None:
    natural = decided(seen)
    with pytest.raises(DataError, match="'x' is not of the type") as caught:
        decided(seen, schema_types={"x": schema_type}, is_model=True)
    assert caught.value.seen.startswith(natural.kind.value)
    # What breaks a curated schema is for ExampleValidator to tell.
    assert decided(seen, schema_types={"x": schema_type}) == natural


@pytest.mark.parametrize(
    ("texts", "feature", "kind"),
    [
        ("007 010", "numeric", Kind.INTEGER),
        ("007 0.5", "numeric", Kind.FLOAT),
        ("1 2", "categorical", Kind.INTEGER),
        ("1 2.5", "categorical", Kind.TEXT),
        ("2013-01-31", "categorical", Kind.TEXT),
        ("2013-01-31", "time", Kind.TIME),
        ("$5 $1,200", "numeric", Kind.FLOAT),
        ("12% 13", "numeric", Kind.FLOAT),
    ],
)
def test_the_kind_of_a_feature_goes_before_the_values(texts: str, feature: str, kind: Kind) -> None:
    assert decided(of_texts(texts.split()), features={"x": feature}).kind is kind
    assert decided(of_texts(texts.split()), features={"x": feature}, schema_types={"x": "bytes"}).kind is Kind.TEXT


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ("1 2", ""),
        ("a b", ""),
        ("true false", ""),
        ("2013-01-31", ""),
        ("1 NA", "no value where it says 'NA' or the like (1 row)"),
        ("true 1", "read as 1 and 0"),
        ("16777217 0.5", "seven digits"),
        ("02134 10025", "02134 is not how a number is written"),
        ("0.5 9007199254740993", "not keep all digits of 9007199254740993"),
        ("31/01/2013", "the day first"),
        ("31/01/2013 01/31/2013", "text, since 31/01/2013 has the day first"),
        ("2013-01-31 2013-01-31T00:00Z", "taken for UTC"),
        ("$5 $1,200", "To have numbers: data.columns: {x: float}."),
        ("5 1,200", "To have numbers: data.columns: {x: float}."),
        ("31.01.24 05.02.24", "such as '05.02.24'. To have times, write them with the year first"),
        ("31-janvier-2024 5-mars-2024", "such as '31-janvier-2024'. To have times, write them with the year first"),
        ("1 2 3 4 5 6 7 8 9 10 11 x", "1 of its 12 values are no numbers: 'x'"),
        ("$1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 ERR", "1 of its 12 values are no numbers: 'ERR'. If it stands for no value"),
        ("1 2 3 4 5 6 7 8 9 10 11 NO", 'in delimited text: data.csv.nulls: ["NO"].'),
    ],
)
def test_a_choice_is_told(texts: str, told: str) -> None:
    choice = decided(of_texts(texts.split())).choice
    assert told in choice if told else not choice
