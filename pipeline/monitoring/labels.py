"""What really came, imported after the predictions and joined to their log."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pipeline.config import PipelineConfig
from pipeline.contracts.prediction_log import KEY, REQUEST_ID, ROW
from pipeline.errors import DataError, StorageError, UsageError
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.prediction_files import LoggedRows, PredictionFiles
from pipeline.util.files import replacing
from pipeline.util.suggestions import did_you_mean

LABEL, IMPORTED = "label", "imported"
_SCHEMA = pa.schema(
    [(REQUEST_ID, pa.string()), (ROW, pa.int32()), (LABEL, pa.string()), (IMPORTED, pa.timestamp("us", tz="UTC"))]
)
_LOCK_SECONDS = 10.0
_SHOWN = 5


@dataclass(frozen=True)
class Contradiction:
    """A row, by its key or as REQUEST/ROW, for which another label is known, or two different ones were given at once."""

    row: str
    known: str
    given: str


@dataclass
class Import:
    """What became of the labels of a table.

    Attributes:
      given: the labels of the table.
      new: rows of the log that have one now and had none before.
      known: rows that had the same one before.
      replaced: rows that had another one before.
      twice: labels that the table has again for the same row.
      without_label: rows of the table without a label.
      unknown: labels of rows that were never asked about, or not logged.
      contradictions: rows for which another label was kept: the first ones.
      contradicted: how many there are.
      delays: the days between prediction and label, the least, the median and the greatest; None where no row was found.
    """

    given: int = 0
    new: int = 0
    known: int = 0
    replaced: int = 0
    twice: int = 0
    without_label: int = 0
    unknown: int = 0
    contradicted: int = 0
    contradictions: list[Contradiction] = field(default_factory=list)
    delays: tuple[float, float, float] | None = None


class LabelStore:
    """The labels that have been imported, a file for each day of the predictions.

    Args:
      folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, config: PipelineConfig) -> LabelStore:
        """The labels of a pipeline."""
        return cls(config.workspace_path / "labels" / config.name)

    def days(self) -> list[datetime.date]:
        """The days whose predictions have labels."""
        return sorted(datetime.date.fromisoformat(path.stem.partition("=")[2]) for path in self._folder.glob("date=*.parquet"))

    def read(self, day: datetime.date) -> pd.DataFrame:
        """The labels of a day's predictions: request id, row, label and when it was imported."""
        path = self._path(day)
        table = pq.ParquetFile(path).read() if path.is_file() else _SCHEMA.empty_table()
        return table.to_pandas()

    def write(self, day: datetime.date, labels: pd.DataFrame) -> None:
        """Replaces the labels of a day's predictions."""
        with replacing(self._path(day)) as partial:
            pq.write_table(pa.Table.from_pandas(labels, _SCHEMA, preserve_index=False), partial)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A block in which nobody else imports labels.

        Raises:
          StorageError: somebody does.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise StorageError(
                "Another process imports labels.",
                where=str(self._folder),
                expected="one import at a time",
                fix="Wait until it has ended, and run again: labels that are known are not counted twice.",
            ) from None

    def _path(self, day: datetime.date) -> Path:
        return self._folder / f"date={day.isoformat()}.parquet"


def import_labels(log: PredictionFiles, store: LabelStore, table: pd.DataFrame, label: str, *, replace: bool) -> Import:
    """Joins labels to the logged rows that they are of. Doing it again changes nothing.

    Args:
      log: the log of predictions.
      store: where labels are kept.
      table: request ids with row numbers, where a request has several, or keys; and labels.
      label: the column of the labels.
      replace: whether a label takes the place of another one that is known.

    Raises:
      UsageError: the table has no column of these.
      DataError: it has no label.
      StorageError: another process imports labels.
    """
    require_columns(table.columns, label)
    result = Import()
    given = _given(table, label, result)
    index, values = pd.Index(list(given), dtype=object), np.array(list(given.values()), object)
    found = np.zeros(len(given), np.bool_)
    delays: list[float] = []
    now = datetime.datetime.now(UTC)
    with store.locked():
        for day in log.days():
            matched = _matched(log, day, index, found, by_key=KEY in table)
            for of_day, rows in matched.groupby(matched["day"], sort=True):
                delays += [(now - each).total_seconds() / 86_400 for each in rows["time"]]
                labels = rows.assign(**{LABEL: values[rows["place"].to_numpy()]})
                _merge(store, of_day, labels, result, now, replace=replace)
    result.unknown += int((~found).sum())
    if delays:
        result.delays = min(delays), float(np.median(delays)), max(delays)
    return result


def require_columns(names: Collection[str], label: str) -> None:
    """Checks that a table has labels, and what tells their rows.

    Args:
      names: its columns.
      label: the column of the labels.

    Raises:
      UsageError: it lacks one of them.
    """
    for name in (label, KEY if KEY in names else REQUEST_ID):
        if name not in names:
            raise UsageError(
                f"The table of labels has no column {name!r}. {did_you_mean(name, names)}".rstrip(),
                where="the table of labels",
                expected=f"{label}, and {REQUEST_ID} with {ROW}, or {KEY}",
                seen=", ".join(names),
                fix="Name the column of the labels with --label, and that of the keys that requests had with --key.",
            )


def _given(table: pd.DataFrame, label: str, result: Import) -> dict[str, str]:
    """The labels as text by what names their row, the first one of each row."""
    by_key = KEY in table
    names = [_text(each) for each in table[KEY]] if by_key else _given_names(table)
    first: dict[str, str] = {}
    for name, value in zip(names, map(_text, table[label]), strict=True):
        if value is None:
            result.without_label += 1
            continue
        result.given += 1
        if name is None:
            result.unknown += 1
        elif name not in first:
            first[name] = value
        else:
            result.twice += 1
            if first[name] != value:
                _contradict(result, Contradiction(name, first[name], value))
    if not result.given:
        raise DataError(
            "The table has no label.",
            where=f"column {label}",
            expected="a value in at least one row",
            seen=f"none in {len(table):,} rows",
            fix="Import the table again when the labels have come, or name their column with --label.",
        )
    return first


def _given_names(table: pd.DataFrame) -> list[str | None]:
    """What the rows of a table are called, as in the log; None of one whose number is missing, or is none."""
    numbers = pd.to_numeric(table[ROW], errors="coerce") if ROW in table else pd.Series(1, table.index)
    is_number = np.isfinite(numbers) & (numbers % 1 == 0)
    names = _row_names(table[REQUEST_ID], numbers.where(is_number, 0))
    return [name if known else None for name, known in zip(names, is_number, strict=True)]


def _matched(
    log: PredictionFiles, day: datetime.date, index: pd.Index[Any], found: np.ndarray, *, by_key: bool
) -> pd.DataFrame:
    """The rows of a day's folder that have a label: what they are called, their time and day, and the place of the label."""
    parts = [pd.DataFrame({REQUEST_ID: [], ROW: [], "time": [], "day": [], "place": []})]
    for logged in log.read(Period(), [day]):
        names = _keys(logged) if by_key else logged_names(logged)
        places = index.get_indexer(pd.Index(names))
        hits = np.flatnonzero(places >= 0)
        found[places[hits]] = True
        if len(hits):
            part = logged.answer.take(pa.array(hits))
            times = pd.Series(part.column("prediction_time").to_pylist(), dtype=object)
            parts.append(
                pd.DataFrame(
                    {
                        REQUEST_ID: part.column(REQUEST_ID).to_pylist(),
                        ROW: _numbers(part),
                        "time": times,
                        "day": [each.date() for each in times],
                        "place": places[hits],
                    }
                )
            )
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]


def _merge(
    store: LabelStore, day: datetime.date, rows: pd.DataFrame, result: Import, now: datetime.datetime, *, replace: bool
) -> None:
    """Adds labels to those of a day."""
    before = store.read(day)
    known = dict(zip(_row_names(before[REQUEST_ID], before[ROW]), before[LABEL], strict=True))
    changed, added = dict[str, str](), dict[str, tuple[str, int, str]]()
    for request_id, row, given in zip(rows[REQUEST_ID], rows[ROW], rows[LABEL], strict=True):
        name = f"{request_id}/{int(row)}"
        if name in added:
            continue
        if name not in known:
            added[name] = (request_id, int(row), given)
            result.new += 1
        elif known[name] == given:
            result.known += 1
        elif replace:
            changed[name] = given
            result.replaced += 1
        else:
            _contradict(result, Contradiction(name, known[name], given))
    if not added and not changed:
        return
    names = _row_names(before[REQUEST_ID], before[ROW])
    before[LABEL] = [changed.get(name, label) for name, label in zip(names, before[LABEL], strict=True)]
    new = pd.DataFrame(list(added.values()), columns=[REQUEST_ID, ROW, LABEL]).assign(**{IMPORTED: now})
    store.write(day, new if before.empty else pd.concat([before, new], ignore_index=True))


def logged_names(logged: LoggedRows) -> list[str]:
    """What each logged row is called: its request and its number in it; 1 where an earlier release has logged none."""
    return _row_names(logged.answer.column(REQUEST_ID).to_pylist(), _numbers(logged.answer))


def _numbers(answer: pa.RecordBatch) -> Sequence[int]:
    return answer.column(ROW).to_pylist() if ROW in answer.schema.names else [1] * answer.num_rows


def _keys(logged: LoggedRows) -> list[str | None]:
    return logged.answer.column(KEY).to_pylist() if KEY in logged.answer.schema.names else [None] * logged.answer.num_rows


def _row_names(request_ids: Any, numbers: Any) -> list[str]:
    rows = [1] * len(request_ids) if numbers is None else numbers
    return [f"{request_id}/{int(row)}" for request_id, row in zip(request_ids, rows, strict=True)]


def _text(value: Any) -> str | None:
    """A label or key as text: 1.0, as tables with gaps have whole numbers, is 1."""
    if value is None or value != value:
        return None
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _contradict(result: Import, contradiction: Contradiction) -> None:
    result.contradicted += 1
    if len(result.contradictions) < _SHOWN:
        result.contradictions.append(contradiction)


def days_with_labels(store: LabelStore, period: Period) -> Mapping[datetime.date, pd.Series]:
    """The labels as text by the name of their row, day by day of a period."""
    found = {}
    for day in store.days():
        start = datetime.datetime.combine(day, datetime.time(), UTC)
        if (period.start and start + datetime.timedelta(days=1) <= period.start) or (period.end and start >= period.end):
            continue
        found[day] = labels_of_day(store, day)
    return found


def labels_of_day(store: LabelStore, day: datetime.date) -> pd.Series:
    """The labels of a day's predictions as text by the name of their row."""
    labels = store.read(day)
    return pd.Series(labels[LABEL].to_numpy(), index=_row_names(labels[REQUEST_ID], labels[ROW]), dtype=object)
