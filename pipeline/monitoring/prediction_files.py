"""The rows that the gateway has logged, read file by file."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.prediction_log import ANSWER, DIGEST, SHADOW, TIME, VERSION
from pipeline.errors import UsageError
from pipeline.monitoring.moments import UTC, Period

_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class LoggedRows:
    """Rows of one file.

    Attributes:
      rows: the features.
      answer: the columns of the answer that the file has, by their plain names.
    """

    rows: pa.RecordBatch
    answer: pa.RecordBatch

    @property
    def days(self) -> pa.Array:
        """The day of each row, UTC, [N]."""
        return self.answer.column(TIME).cast(pa.timestamp("us", tz="UTC")).cast(pa.date32())

    def slice(self, start: int, size: int) -> LoggedRows:
        """Some of the rows, in their order."""
        return LoggedRows(self.rows.slice(start, size), self.answer.slice(start, size))

    def of_version(self, version: int, digest: str = "") -> LoggedRows:
        """The rows that one version has answered.

        Args:
          version: the version's number.
          digest: the digest of its model, if it has one: rows that another model with this number has answered are left out.
        """
        mask = pc.equal(self.answer.column(VERSION), version)
        if digest and DIGEST in self.answer.schema.names:
            mask = pc.and_(mask, pc.fill_null(pc.equal(self.answer.column(DIGEST), digest), True))
        return LoggedRows(self.rows.filter(mask), self.answer.filter(mask))


@dataclass
class PredictionFiles:
    """The log of predictions in a folder.

    Attributes:
      folder: the folder of `gateway.log.folder`.
      broken: files that could not be read, with why.
    """

    folder: Path
    broken: dict[str, str] = field(default_factory=dict)

    def read(self, period: Period, days: Sequence[datetime.date] | None = None) -> Iterator[LoggedRows]:
        """The rows of a period, by day, and within a day by file; nothing where there are none.

        What a shadow has answered is left out: callers got something else.

        Files that cannot be read are left out and noted in `broken`: one bad file does not hide the others.

        Args:
          period: the times of the predictions.
          days: only these days.
        """
        for path in self._paths(period, days):
            try:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(_BATCH_ROWS):
                        logged = _within(_served(_divided(batch)), period)
                        if logged.rows.num_rows:
                            yield logged
            except (OSError, pa.ArrowException, KeyError) as error:
                self.broken[str(path)] = str(error).splitlines()[0] if str(error) else type(error).__name__

    def days(self) -> list[datetime.date]:
        """The days that have a folder."""
        return sorted({day for path in self._folders() if (day := _day(path))})

    def _paths(self, period: Period, days: Sequence[datetime.date] | None) -> Iterator[Path]:
        wanted = None if days is None else set(days)
        for folder in self._folders():
            day = _day(folder)
            if day and _may_have(day, period) and (wanted is None or day in wanted):
                yield from sorted(folder.glob("*.parquet"))

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("*date=*"), key=lambda path: path.name.rpartition("=")[2])


def open_log(folder: Path | None, name: str) -> PredictionFiles:
    """The log of predictions.

    Args:
      folder: its folder; None where nothing is logged.
      name: the pipeline's name, for messages.

    Raises:
      UsageError: there is none.
    """
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"No prediction of {name} has been logged.",
            where=str(folder or "gateway.log.folder"),
            expected="the folder of the gateway's log, with a folder for each day",
            seen="null" if folder is None else "no such folder",
            fix="Ask for predictions through `conveyor gateway`, or compare a span: conveyor monitor --rows span:N",
        )
    return PredictionFiles(folder)


def _divided(batch: pa.RecordBatch) -> LoggedRows:
    """Tells the columns of the answer from the features, one of which may have such a name."""
    names = batch.schema.names
    answer = {}
    for plain in ANSWER:
        name = plain
        while f"predicted_{name}" in names:
            name = f"predicted_{name}"
        if name in names:
            answer[plain] = name
    features = [name for name in names if name not in answer.values()]
    return LoggedRows(
        batch.select(features),
        pa.RecordBatch.from_arrays([batch.column(name) for name in answer.values()], list(answer)),
    )


def _served(logged: LoggedRows) -> LoggedRows:
    """The rows that callers were answered; all of them in logs of earlier releases."""
    if SHADOW not in logged.answer.schema.names:
        return logged
    # Null in rows of earlier releases, where files were put together.
    kept = pc.invert(pc.fill_null(logged.answer.column(SHADOW), False))
    return LoggedRows(logged.rows.filter(kept), logged.answer.filter(kept))


def _within(logged: LoggedRows, period: Period) -> LoggedRows:
    times = np.asarray(logged.answer.column(TIME).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))
    start, end = (None if each is None else int(each.timestamp() * 1e6) for each in (period.start, period.end))
    kept = (times >= start if start is not None else True) & (times < end if end is not None else np.True_)
    if np.all(kept):
        return logged
    return LoggedRows(logged.rows.filter(pa.array(kept)), logged.answer.filter(pa.array(kept)))


def _day(folder: Path) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(folder.name.rpartition("=")[2])
    except ValueError:
        return None


def _may_have(day: datetime.date, period: Period) -> bool:
    start = datetime.datetime.combine(day, datetime.time(), UTC)
    return not ((period.start and start + datetime.timedelta(days=1) <= period.start) or (period.end and start >= period.end))
