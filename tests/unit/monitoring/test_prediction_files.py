"""The log of predictions as monitoring reads it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.prediction_files import PredictionFiles, open_log


def write(folder: Path, moment: datetime.datetime, columns: dict[str, list[Any]], name: str = "date") -> Path:
    """A file of rows that were answered at one moment."""
    size = len(next(iter(columns.values())))
    answer = {
        "prediction_time": pa.array([moment] * size, pa.timestamp("us", tz="UTC")),
        "prediction_version": pa.array([3] * size, pa.int64()),
    }
    path = folder / f"{name}={moment.date()}" / f"{moment:%H%M%S}-x.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, **{key: value for key, value in answer.items() if key not in columns}}), path)
    return path


def at(day: int, hour: int = 12) -> datetime.datetime:
    return datetime.datetime(2026, 1, day, hour, tzinfo=UTC)


def values(log: PredictionFiles, period: Period) -> list[int]:
    return [value for logged in log.read(period) for value in logged.rows.column("x").to_pylist()]


def test_the_rows_of_a_period(tmp_path: Path) -> None:
    for day in (1, 2, 3):
        for hour in (0, 23):
            write(tmp_path, at(day, hour), {"x": [day * 100 + hour]})
    log = open_log(tmp_path, "flights")
    assert values(log, Period()) == [100, 123, 200, 223, 300, 323]
    assert values(log, Period(at(1, 23), at(3, 0))) == [123, 200, 223]
    assert values(log, Period(at(3, 1))) == [323]
    assert log.days() == [at(day).date() for day in (1, 2, 3)]
    assert [each.days.to_pylist() for each in log.read(Period(at(3)))] == [[at(3).date()]]


def test_the_days_of_times_as_gateways_log_them(tmp_path: Path) -> None:
    for moment in (at(1, 23).replace(microsecond=987_654), at(2, 0).replace(microsecond=1)):
        write(tmp_path, moment, {"x": [1]})
    found = [day for logged in open_log(tmp_path, "flights").read(Period()) for day in logged.days.to_pylist()]
    assert found == [at(1).date(), at(2).date()]


def test_files_that_cannot_be_read_do_not_hide_the_others(tmp_path: Path) -> None:
    good = write(tmp_path, at(1), {"x": [1]})
    (good.parent / "broken.parquet").write_bytes(b"PAR1 no more")
    pq.write_table(pa.table({"x": [7]}), good.parent / "other.parquet")
    (tmp_path / "date=never").mkdir()
    log = open_log(tmp_path, "flights")
    assert values(log, Period()) == [1]
    assert {Path(path).name for path in log.broken} == {"broken.parquet", "other.parquet"}


def test_a_feature_may_have_the_name_of_an_answer(tmp_path: Path) -> None:
    columns = {"prediction_version": [70], "predicted_prediction_version": [4], "date": ["a"]}
    write(tmp_path, at(1), columns, name="predicted_date")
    (logged,) = open_log(tmp_path, "flights").read(Period())
    assert logged.rows.column("prediction_version").to_pylist() == [70]
    assert logged.answer.column("prediction_version").to_pylist() == [4]
    assert logged.of_version(4).rows.num_rows == 1
    assert logged.of_version(70).rows.num_rows == 0


def test_rows_of_another_model_with_the_same_number_are_left_out(tmp_path: Path) -> None:
    digests = {"prediction_version": [4, 4, 4, 5], "prediction_model_digest": ["a", "b", None, "a"]}
    write(tmp_path, at(1), {"x": [1, 2, 3, 4], **digests})
    (logged,) = open_log(tmp_path, "flights").read(Period())
    found = {digest: logged.of_version(4, digest).rows.column("x").to_pylist() for digest in ("a", "b", "c", "")}
    assert found == {"a": [1, 3], "b": [2, 3], "c": [3], "": [1, 2, 3]}


@pytest.mark.parametrize("folder", [None, Path("/nowhere/predictions")])
def test_without_a_log_there_is_a_remedy(folder: Path | None) -> None:
    with pytest.raises(UsageError, match="No prediction of flights has been logged") as error:
        open_log(folder, "flights")
    assert "conveyor monitor --rows span:N" in error.value.fix


def test_what_a_shadow_has_answered_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, at(1), {"x": [1]})
    write(tmp_path, at(2), {"x": [2, 3, 4], "prediction_shadow": [False, True, None]})
    assert values(open_log(tmp_path, "flights"), Period()) == [1, 2, 4]
