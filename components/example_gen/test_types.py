"""Types of columns from the files to the values, and each remedy followed to the letter."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.example_gen.component import ArrowExampleGen
from components.example_gen.rules import ColumnRules
from components.example_gen.table import open_table
from components.shared.examples.kinds import Kind
from pipeline.config import Data
from pipeline.contracts.schema import Schema, parse_schema
from pipeline.errors import ConfigError, DataError


def values(pattern: Path, column: str = "x", **settings: Any) -> list[Any]:
    ignored = settings.pop("ignored", ())
    table = open_table(Data(input=str(pattern), **settings), ignored=ignored)
    return [value for batch in table.batches() for value in batch.column(column).to_pylist()]


def remedies(fix: str) -> list[Mapping[str, Any]]:
    """What the message says to set under `data`, each alone."""
    found = re.findall(r"data\.(columns|dates): (\{.*?\}|\w+)", fix)
    return [{name: yaml.safe_load(value)} for name, value in found]


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (["+4915112345678", "+4915112345679"], ["+4915112345678", "+4915112345679"]),
        (["02134", "10025"], ["02134", "10025"]),
        (["100", "200", "100A"], ["100", "200", "100A"]),
        (["true", "1"], [1, 1]),
        (["true", "0.5"], [1.0, 0.5]),
        ([*map(str, range(240)), "NA", "NA", "NA"], [*range(240), None, None, None]),
        (["31/01/2013", "01/02/2013"], [datetime.datetime(2013, 1, 31), datetime.datetime(2013, 2, 1)]),
        (["US", "NA"], ["US", "NA"]),
    ],
)
def test_one_file_and_two_are_read_alike(tmp_path: Path, texts: list[str], seen: list[Any]) -> None:
    for folder, parts in (("one", [texts]), ("two", [texts[:-1], texts[-1:]])):
        (tmp_path / folder).mkdir()
        for number, part in enumerate(parts):
            (tmp_path / folder / f"{number}.csv").write_text("y,x\n" + "".join(f"1,{text}\n" for text in part))
        assert values(tmp_path / folder / "*.csv") == seen


@pytest.mark.parametrize(
    ("type_", "texts", "where", "fitting"),
    [
        ("integer", ["007", "NA", "12a"], "line 4", ["007", "NA", "12"]),
        ("float", ["007", "1.5.2"], "line 3", ["007", "1.5"]),
        ("boolean", ["yes", "no", "maybe"], "line 4", ["yes", "no", "t"]),
        ("time", ["2013-01-31", "31/31/2013"], "line 3", ["2013-01-31", "31.12.2013"]),
    ],
)
def test_a_value_that_is_not_of_the_type_that_was_set(
    tmp_path: Path, type_: str, texts: list[str], where: str, fitting: list[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "".join(f"{text},1\n" for text in texts))
    with pytest.raises(DataError, match="cannot be read as its type") as caught:
        values(path, columns={"x": type_})
    assert caught.value.where == f"{path}, {where}"
    assert "as data.columns says" in caught.value.expected
    assert values(path, **remedies(caught.value.fix)[-1]) == [text.strip('"') for text in texts]
    path.write_text("x,y\n" + "".join(f"{text},1\n" for text in fitting))
    assert len(values(path, columns={"x": type_})) == len(fitting)


def test_dates_that_can_be_read_in_two_ways(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,"when: it was"\n1,01/02/2013\n2,03/04/2013\n')
    with pytest.raises(DataError, match="day first or the month first") as caught:
        values(path, "when: it was")
    day, month, text = (values(path, "when: it was", **remedy)[0] for remedy in remedies(caught.value.fix))
    assert (day, month, text) == (datetime.datetime(2013, 2, 1), datetime.datetime(2013, 1, 2), "01/02/2013")
    model = Schema.of(parse_schema(b'feature { name: "when: it was" type: INT }', "schema.pbtxt"))
    with pytest.raises(DataError, match="day first or the month first") as caught:
        open_table(Data(input=str(path)), model=model)
    for remedy in remedies(caught.value.fix):
        assert open_table(Data(input=str(path), **remedy), model=model).kinds["when: it was"] is Kind.TIME


def test_a_date_against_the_order_that_was_set(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n01/02/2013,1\n31/01/2013,2\n")
    with pytest.raises(DataError, match="cannot be read as its type") as caught:
        values(path, dates="month_first")
    assert caught.value.where.endswith("line 3")
    assert "as data.dates says" in caught.value.expected
    for remedy in remedies(caught.value.fix):
        assert len(values(path, **{"dates": "month_first", **remedy})) == 2


def test_a_column_that_is_not_there_is_no_column_to_set_a_type_of(tmp_path: Path) -> None:
    rules = ColumnRules(types={"phon": "text"})
    with pytest.raises(ConfigError, match="Did you mean 'phone'") as caught:
        rules.require_known(["phone", "x"])
    assert caught.value.where == "data.columns.phon"
    ColumnRules(types={"phone": "text"}, ignored=("x",)).require_known(["phone", "x"])


def test_files_of_several_types(tmp_path: Path) -> None:
    for number, column in enumerate([pa.array([1.5]), pa.array(["a"])]):
        pq.write_table(pa.table({"x": column}), tmp_path / f"{number}.parquet")
    with pytest.raises(DataError, match="differs from file to file") as caught:
        values(tmp_path / "*.parquet")
    assert values(tmp_path / "*.parquet", **remedies(caught.value.fix)[0]) == ["1.5", "a"]


def test_text_with_a_type_that_was_set(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {
        "i": ["007", None],
        "d": pa.array(["1.5", "NA"]).dictionary_encode(),
        "t": ["31/01/2013", "2013-02-01"],
        "n": [1, 2],
    }
    pq.write_table(pa.table(table), path)
    columns = {"i": "integer", "d": "float", "t": "time", "n": "text"}
    opened = open_table(Data(input=str(path), columns=columns))
    [batch] = opened.batches()
    first_days = [datetime.datetime(2013, 1, 31), datetime.datetime(2013, 2, 1)]
    assert batch.to_pydict() == {"i": [7, None], "d": [1.5, None], "t": first_days, "n": ["1", "2"]}


def test_a_column_that_is_ignored_may_be_of_any_type(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    times = pa.array([1, 2], pa.time64("us"))
    pq.write_table(
        pa.table(
            {
                "x": [1, 2],
                "s": pa.array([{"a": 1}, {"a": 2}]),
                "t": times,
                "m": pa.array([[("a", 1)], []], pa.map_("string", "int8")),
            }
        ),
        path,
    )
    ignored: list[str] = []
    while len(ignored) < 3:
        with pytest.raises(DataError, match="cannot hold") as caught:
            values(path, ignored=ignored)
        [setting] = re.findall(r"features: (\{.*\}\})", caught.value.fix)
        ignored += yaml.safe_load(setting)
    assert values(path, ignored=ignored) == [1, 2]


@pytest.mark.parametrize(
    ("column", "type_", "text"),
    [
        (pa.array([datetime.date(2013, 1, 31)]), "integer", "2013-01-31"),
        (pa.array([5]), "boolean", "5"),
        (pa.array([1.5]), "time", "1.5"),
    ],
)
def test_a_type_that_the_files_type_cannot_be_read_as(tmp_path: Path, column: pa.Array, type_: str, text: str) -> None:
    pq.write_table(pa.table({"x": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="cannot be read as") as caught:
        values(tmp_path / "a.parquet", columns={"x": type_})
    assert values(tmp_path / "a.parquet", **remedies(caught.value.fix)[0]) == [text]


def test_floats_that_are_no_integers(tmp_path: Path) -> None:
    for number in (2.5, 1e300):
        pq.write_table(pa.table({"x": [1.0, None, number]}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match="cannot be read as its type") as caught:
            values(tmp_path / "a.parquet", columns={"x": "integer"})
        assert caught.value.where.endswith("row 3")
        assert caught.value.seen == repr(number)
    pq.write_table(pa.table({"x": [1.0, float("nan"), 2.0]}), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet", columns={"x": "integer"}) == [1, None, 2]


def test_integers_beyond_64_bits_are_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array([2**63, 1], pa.uint64())}), path)
    assert values(path, columns={"x": "text"}) == ["9223372036854775808", "1"]


def test_a_model_gets_the_types_that_it_knows(tmp_path: Path) -> None:
    model = Schema.of(parse_schema(b'feature { name: "x" type: BYTES } feature { name: "y" type: FLOAT }', "schema.pbtxt"))
    (tmp_path / "a.csv").write_text("x,y\n100,1\n200,2\n")
    table = open_table(Data(input=str(tmp_path / "a.csv")), model=model)
    assert table.kinds == {"x": Kind.TEXT, "y": Kind.FLOAT}
    assert [batch.to_pydict() for batch in table.batches()] == [{"x": ["100", "200"], "y": [1.0, 2.0]}]


@pytest.mark.parametrize(
    ("column", "settings"),
    [
        (pa.array([2**63], pa.uint64()), {}),
        (pa.array([{"part": 1}]), {}),
        (pa.array([datetime.datetime(2026, 1, 1)]), {"columns": {"x": "integer"}}),
    ],
)
def test_where_a_model_wants_its_type_no_remedy_is_another_one(
    tmp_path: Path, column: pa.Array, settings: dict[str, Any]
) -> None:
    """Read as text, or not at all, the column would be one that the model does not know."""
    model = Schema.of(parse_schema(b'feature { name: "x" type: INT }', "schema.pbtxt"))
    pq.write_table(pa.table({"x": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError) as caught:
        list(open_table(Data(input=str(tmp_path / "a.parquet"), **settings), model=model).batches())
    assert caught.value.fix in ("Correct the value.", "Write the column with the type that it has in the training data.")


def test_settings_travel_to_the_executor() -> None:
    rules = ColumnRules(types={"x": "text"}, dates="day_first", ignored=("prénom",))
    component = ArrowExampleGen("*.csv", columns=rules)
    assert ColumnRules.model_validate_json(component.exec_properties["columns"]) == rules


def test_cells_of_thousands_of_digits(tmp_path: Path) -> None:
    path, digits = tmp_path / "a.csv", "1" * 5_000
    path.write_text(f"x,y\n{digits},1\n")
    assert values(path) == [digits]
    with pytest.raises(DataError, match="cannot be read as its type"):
        values(path, columns={"x": "integer"})


def test_floats_of_16_bits_may_be_read_as_any_number(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([np.float16(1), None], pa.float16())}), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet", columns={"x": "integer"}) == [1, None]
    assert values(tmp_path / "a.parquet") == [1.0, None]
