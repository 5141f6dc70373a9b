"""Rows with their predictions as Parquet files, written in the background. It never fails or delays a request."""

from __future__ import annotations

import datetime
import logging
import queue
import random
import shutil
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import Counter

from pipeline.config import PredictionLog as Settings
from pipeline.contracts.model import free_name
from pipeline.contracts.prediction_log import (
    DIGEST,
    KEY,
    LABEL,
    PROBABILITIES,
    REQUEST_ID,
    ROW,
    SCORE,
    SHADOW,
    TIME,
    VALUE,
    VERSION,
)
from pipeline.util.files import replacing
from serving.client import ModelFeature, Prediction
from serving.client.features import Row
from serving.gateway.contract import Question
from serving.gateway.logs import log
from serving.gateway.metrics import confidence

QUEUE_ROWS = 20_000
"""Rows that may wait for the disk. Further rows are dropped and counted."""
FILE_ROWS = 10_000
"""Rows of a file. A file with fewer is written when its rows are old enough."""
_COMPLAINT_SECONDS = 60.0

_TYPES = {
    "DT_FLOAT": pa.float32(),
    "DT_INT64": pa.int64(),
    "DT_STRING": pa.string(),
}
_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class _Entry:
    """A row to be written, and the columns that it has."""

    columns: Mapping[str, pa.DataType]
    row: Row
    prediction: Prediction
    request_id: str
    number: int
    key: str | None
    shadow: bool
    time: datetime.datetime

    @property
    def file_key(self) -> tuple[str, int, type]:
        """Entries with the same key fit into one file."""
        return self.time.date().isoformat(), id(self.columns), type(self.prediction.label)


class PredictionLog:
    """A folder for each day: `date=2026-01-31/<time>-<id>.parquet`.

    The columns are the model's features, as in the data that it was trained with, and those of the answer, as
    `pipeline.contracts.prediction_log` describes them. Where a feature is called `date`, the folders are `predicted_date=…`, as
    readers take a folder's date for a column. Folders that are older than `keep_days` are deleted.

    Args:
      settings: the settings of the log, with a folder.
      dropped: counts rows that should have been written and were not.
    """

    def __init__(self, settings: Settings, dropped: Counter) -> None:
        self._folder = Path(settings.folder or "")
        self._settings, self._dropped = settings, dropped
        self._queue: queue.Queue[_Entry | None] = queue.Queue(QUEUE_ROWS)
        self._complained = float("-inf")
        self._cleaned = ""
        self._features: Mapping[str, ModelFeature] = {}
        self._columns: Mapping[str, pa.DataType] = {}
        self._thread = threading.Thread(target=self._write_all, name="prediction-log", daemon=True)
        self._thread.start()

    def add(
        self,
        features: Mapping[str, ModelFeature],
        question: Question,
        predictions: Sequence[Prediction],
        request_id: str,
        *,
        shadow: bool = False,
    ) -> None:
        """Logs a sample of rows; returns at once.

        Args:
          features: the model's features by name.
          question: the rows, as values by feature, with the caller's keys.
          predictions: a prediction for each row.
          request_id: the request's id.
          shadow: whether the caller got the answers of another version.
        """
        now = datetime.datetime.now(datetime.timezone.utc)
        if features is not self._features:
            self._features = features
            self._columns = {name: _type_of(each) for name, each in features.items() if name not in self._settings.exclude}
        answered = zip(question.rows, question.keys, predictions, strict=True)
        for number, (row, key, prediction) in enumerate(answered, start=1):
            if random.random() < self._settings.sample:
                try:
                    self._queue.put_nowait(_Entry(self._columns, row, prediction, request_id, number, key, shadow, now))
                except queue.Full:
                    self._drop(1, "the disk is too slow")

    def close(self) -> None:
        """Writes the waiting rows, and ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        entries: list[_Entry] = []
        due = float("inf")
        while True:
            try:
                entry = self._queue.get(timeout=min(max(due - time.monotonic(), 0), threading.TIMEOUT_MAX))
                is_last = entry is None
                if entry is not None:
                    due = min(due, time.monotonic() + self._settings.flush_seconds)
                    entries.append(entry)
            except queue.Empty:
                is_last = False
            if is_last or len(entries) >= FILE_ROWS or time.monotonic() >= due:
                self._write(entries)
                entries, due = [], float("inf")
            if is_last:
                return

    def _write(self, entries: Sequence[_Entry]) -> None:
        files = defaultdict(list)
        for entry in entries:
            files[entry.file_key].append(entry)
        for (date, _, _), those in files.items():
            try:
                _write_file(self._folder / f"{free_name('date', those[0].columns)}={date}", those)
            except Exception as error:  # The thread has to go on: it alone counts lost rows.
                self._drop(len(those), str(error))
            self._delete_old(date)

    def _delete_old(self, today: str) -> None:
        """Deletes the days that are too old, once a day; by their names, as clocks and copies change the times of files."""
        if self._settings.keep_days is None or today == self._cleaned:
            return
        self._cleaned = today
        oldest = datetime.date.fromisoformat(today) - datetime.timedelta(days=self._settings.keep_days)
        for folder in self._folder.glob("*date=*"):
            with suppress(ValueError):
                if datetime.date.fromisoformat(folder.name.rpartition("=")[2]) < oldest:
                    shutil.rmtree(folder, ignore_errors=True)

    def _drop(self, rows: int, reason: str) -> None:
        self._dropped.inc(rows)
        if time.monotonic() - self._complained > _COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            log(logging.ERROR, "predictions cannot be logged: rows are dropped", folder=str(self._folder), error=reason)


def _type_of(feature: ModelFeature) -> pa.DataType:
    return pa.list_(_TYPES[feature.dtype]) if feature.is_list else _TYPES[feature.dtype]


def _write_file(folder: Path, entries: Sequence[_Entry]) -> None:
    name = f"{entries[0].time:%H%M%S}-{uuid.uuid4().hex[:12]}.parquet"
    # Readers take *.parquet, which must not match an unfinished file.
    with replacing(folder / name, suffix=".partial") as partial:
        pq.write_table(_table(entries), partial)


def _table(entries: Sequence[_Entry]) -> pa.Table:
    predictions = [entry.prediction for entry in entries]
    columns = {name: pa.array([entry.row.get(name) for entry in entries], kind) for name, kind in entries[0].columns.items()}
    answer = {
        TIME: pa.array([entry.time for entry in entries], _TIME),
        REQUEST_ID: pa.array([entry.request_id for entry in entries], pa.string()),
        ROW: pa.array([entry.number for entry in entries], pa.int32()),
        KEY: pa.array([entry.key for entry in entries], pa.string()),
        VERSION: pa.array([prediction.version for prediction in predictions], pa.int64()),
        DIGEST: pa.array([prediction.digest or None for prediction in predictions], pa.string()),
        SHADOW: pa.array([entry.shadow for entry in entries], pa.bool_()),
    }
    if predictions[0].value is None:
        label = pa.string() if isinstance(predictions[0].label, str) else pa.int64()
        answer[LABEL] = pa.array([prediction.label for prediction in predictions], label)
        answer[SCORE] = pa.array([confidence(prediction) for prediction in predictions], pa.float64())
        if predictions[0].score is None:
            probabilities = [prediction.probabilities for prediction in predictions]
            answer[PROBABILITIES] = pa.array(probabilities, pa.list_(pa.float32()))
    else:
        answer[VALUE] = pa.array([prediction.value for prediction in predictions], pa.float64())
    return pa.table({**columns, **{free_name(name, columns): values for name, values in answer.items()}})
