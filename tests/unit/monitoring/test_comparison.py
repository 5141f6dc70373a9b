"""Rows of now beside those of training: what has changed is found by name, and chance is not taken for change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.datasets.flights import read_flights
from pipeline.monitoring.columns import Column, Role
from pipeline.monitoring.comparison import ColumnComparison, compare
from pipeline.monitoring.profile import Profile

NUMBERS = ("departure_minute", "distance", "temp", "humid", "wind_speed", "visib", "precip", "pressure", "plane_year")
TEXTS = ("carrier", "origin", "dest", "plane_model", "plane_manufacturer")
COLUMNS = (
    *(Column(name, Role.NUMBER) for name in NUMBERS),
    *(Column(name, Role.CATEGORY) for name in TEXTS),
    Column("scheduled_departure", Role.TIME, ("hour_of_day", "day_of_week")),
)


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return read_flights()


def profile(rows: pd.DataFrame, columns: tuple[Column, ...] = COLUMNS) -> Profile:
    found = Profile(columns)
    for batch in pa.Table.from_pandas(rows, preserve_index=False).to_batches(5000):
        found.add(batch)
    return found


def drifted(then: Profile, now: Profile, **options: object) -> list[ColumnComparison]:
    found = compare(then, now, **{"confidence": 0.99, "allowed": 0.02, **options})  # type: ignore[arg-type]
    return [each for each in found if each.has_drifted]


def test_what_has_changed_between_january_and_july_is_named(flights: pd.DataFrame) -> None:
    january, july = (profile(flights[flights["span"] == span]) for span in (201301, 201307))
    names = {each.name: each for each in drifted(january, july)}
    assert {"temp", "pressure", "humid", "wind_speed"} <= names.keys()
    assert not {"origin", "distance", "departure_minute", "plane_year"} & names.keys()
    assert names["temp"].change.startswith("median 3")
    assert names["temp"].distribution is not None


def test_random_halves_of_january_are_alike(flights: pd.DataFrame) -> None:
    january = flights[flights["span"] == 201301].sample(2000, random_state=1)
    alarms = []
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(len(january))
        halves = (profile(january.iloc[part]) for part in np.array_split(order, 2))
        alarms.append(bool(drifted(*halves, allowed=0.0)))
    assert sum(alarms) <= 5


def test_rows_that_are_drawn_from_the_reference_are_alike_however_few(flights: pd.DataFrame) -> None:
    january = flights[flights["span"] == 201301]
    then = profile(january)
    for size in (1, 3, 30, 300):
        assert not drifted(then, profile(january.sample(size, random_state=size)), allowed=0.0)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {}


def table(make: Callable[[], pd.DataFrame]) -> Callable[[], pd.DataFrame]:
    TABLES[make.__name__] = make
    return make


@table
def diabetes() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True).frame


@table
def wine() -> pd.DataFrame:
    from sklearn.datasets import load_wine

    return load_wine(as_frame=True).frame


@table
def cars() -> pd.DataFrame:
    import vega_datasets

    return vega_datasets.local_data.cars().drop(columns=["Name", "Year"])


@pytest.mark.parametrize("name", TABLES)
def test_of_any_table_halves_are_alike_and_a_shifted_or_renamed_column_is_not(name: str) -> None:
    rows = TABLES[name]()
    columns = tuple(
        Column(each, Role.NUMBER if pd.api.types.is_numeric_dtype(rows[each]) else Role.CATEGORY) for each in rows.columns
    )
    order = np.random.default_rng(3).permutation(len(rows))
    first, second = (rows.iloc[part] for part in np.array_split(order, 2))
    then = profile(first, columns)
    assert not drifted(then, profile(second, columns), allowed=0.0)
    number = next(each.name for each in columns if each.role is Role.NUMBER)
    shifted = second.assign(**{number: second[number] + 2 * rows[number].std()})
    assert [each.name for each in drifted(then, profile(shifted, columns))] == [number]
    texts = [each.name for each in columns if each.role is Role.CATEGORY]
    for text in texts[:1]:
        renamed = second.assign(**{text: second[text].astype(object) + " (new)"})
        (found,) = drifted(then, profile(renamed, columns))
        assert found.name == text
        assert found.unseen_values
        assert found.check("unseen").value > 0.5  # type: ignore[union-attr]


def made(values: dict[str, object], *columns: Column) -> Profile:
    found = Profile(columns)
    found.add(pa.record_batch({name: pa.array(column) for name, column in values.items()}))
    return found


def test_a_column_that_matters_to_the_model_comes_first() -> None:
    columns = Column("a", Role.NUMBER), Column("b", Role.NUMBER), Column("c", Role.NUMBER)
    rng = np.random.default_rng(0)
    then = made({name: rng.normal(size=2000) for name in "abc"}, *columns)
    now = made({"a": rng.normal(3, size=2000), "b": rng.normal(1, size=2000), "c": rng.normal(size=2000)}, *columns)
    found = compare(then, now, confidence=0.99, allowed=0.02, importance={"a": 0.001, "b": 0.1, "c": 0.5})
    assert [(each.name, each.has_drifted) for each in found] == [("b", True), ("a", True), ("c", False)]
    assert found[0].importance == 0.1


def test_a_column_with_brackets_in_its_name_has_its_importance() -> None:
    columns = Column("mass (kg)", Role.NUMBER), Column("at", Role.TIME, ("day_of_week", "hour_of_day"))
    rows = made({"mass (kg)": [1.0, 2.0], "at": [0, 86_400]}, *columns)
    found = compare(rows, rows, confidence=0.99, allowed=0.02, importance={"mass (kg)": 0.2, "at": 0.1})
    assert [each.importance for each in found] == [0.2, 0.1, 0.1]


def test_missing_values_are_compared_of_a_time_without_a_cycle() -> None:
    column = Column("x", Role.TIME)
    (found,) = drifted(made({"x": [1, 2] * 50}, column), made({"x": [1, None] * 50}, column))
    assert found.change == "missing 0.0 % → 50.0 %"


def test_missing_values_are_compared_apart_from_the_others() -> None:
    column = Column("x", Role.NUMBER)
    then = made({"x": [1.0, 2.0] * 500}, column)
    now = made({"x": [1.0, 2.0, None, float("nan"), float("inf")] * 200}, column)
    (found,) = compare(then, now, confidence=0.99, allowed=0.02)
    assert found.missing == (0.0, 0.6)
    assert [check.kind for check in found.checks if check.is_drift] == ["missing"]


def test_a_column_that_is_gone_has_drifted() -> None:
    column = Column("x", Role.CATEGORY)
    (found,) = compare(made({"x": ["a"] * 50}, column), made({"x": [None] * 50}, column), confidence=0.99, allowed=0.02)
    assert found.has_drifted
    assert found.change == "missing 0.0 % → 100.0 %"


def test_a_column_that_the_rows_lack_is_not_compared() -> None:
    column = Column("x", Role.CATEGORY)
    now = Profile([column], lacking_is_missing=False)
    now.add(pa.record_batch({"y": [1, 2]}))
    assert compare(made({"x": ["a"] * 50}, column), now, confidence=0.99, allowed=0.02) == ()


def test_a_threshold_of_the_schema_takes_the_place_of_the_general_one() -> None:
    column = Column("x", Role.CATEGORY)
    then, now = made({"x": ["a"] * 900 + ["b"] * 100}, column), made({"x": ["a"] * 600 + ["b"] * 400}, column)
    assert drifted(then, now)
    assert not drifted(then, now, thresholds={"x": 0.35})


def test_several_values_of_a_row_count_as_one() -> None:
    column = Column("x", Role.CATEGORY)
    rng = np.random.default_rng(0)

    def rows(size: int) -> Profile:
        return made({"x": [[str(rng.integers(4))] * 50 for _ in range(size)]}, column)

    assert not drifted(rows(100), rows(100), allowed=0.0)


def test_words_of_a_text_are_compared() -> None:
    column = Column("x", Role.WORDS)
    then, now = made({"x": ["A good film"] * 300}, column), made({"x": ["a bad film"] * 300}, column)
    (found,) = drifted(then, now)
    assert found.unseen_values == ("bad",)


def test_of_a_time_the_parts_that_the_model_sees_are_compared() -> None:
    column = Column("x", Role.TIME, ("day_of_week", "hour_of_day", "minute_of_hour", "day_of_month", "day_of_year"))
    hours = 3600 * np.arange(24 * 366)
    then, later = (made({"x": start + hours}, column) for start in (0, 366 * 86_400))
    assert not drifted(then, later)
    nights = made({"x": hours[(hours // 3600) % 24 < 6]}, column)
    (found,) = drifted(then, nights)
    assert found.name == "x (hour_of_day)"
    # 1970-01-01 was a Thursday.
    assert made({"x": [0]}, column).columns["x"].parts["day_of_week"].smallest == 3


def test_columns_of_several_types_hold_what_can_be_compared() -> None:
    columns = [Column("flag", Role.NUMBER), Column("code", Role.CATEGORY), Column("bytes", Role.CATEGORY)]
    found = made({"flag": [True, False, None], "code": [1, 2, 2], "bytes": [b"\xff", b"a", None]}, *columns)
    assert found.columns["flag"].numbers.mean == 0.5
    assert found.columns["code"].categories.counts == {"1": 1, "2": 2}
    assert found.columns["bytes"].categories.counts == {"\ufffd": 1, "a": 1}
    assert found.columns["bytes"].missing == 1
