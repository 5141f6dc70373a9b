"""Rows with their predictions as Parquet."""

from __future__ import annotations

import datetime
import errno
import threading
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from serving.gateway import prediction_log
from tests.fakes.waiting import PATIENCE, wait_until
from tests.unit.serving.gateway.conftest import ROW, predict, sample

ROWS = [{"carrier": "UA", "distance": float(distance)} for distance in range(1, 101)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "predictions"


def files(folder):
    return sorted(folder.rglob("*.parquet"))


def clock_at(moment):
    """The module `datetime`, at a moment."""
    stands = type("datetime", (datetime.datetime,), {"now": classmethod(lambda cls, zone: moment)})
    return SimpleNamespace(datetime=stands, date=datetime.date, timedelta=datetime.timedelta, timezone=datetime.timezone)


def test_what_is_logged(start, server, folder):
    server.digest = "c0ffee"
    before = datetime.datetime.now(datetime.timezone.utc)
    with start(log={"folder": str(folder)}) as gateway:
        (answer,) = predict(gateway, ROW, **{"X-Request-ID": "order-17"}).json()["predictions"]
    after = datetime.datetime.now(datetime.timezone.utc)

    (path,) = files(folder)
    table = pq.ParquetFile(path).read()
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "carrier": "string",
        "departure": "int64",
        "distance": "float",
        "prediction_time": "timestamp[us, tz=UTC]",
        "prediction_request_id": "string",
        "prediction_row": "int32",
        "prediction_key": "string",
        "prediction_version": "int64",
        "prediction_model_digest": "string",
        "prediction_shadow": "bool",
        "prediction_label": "int64",
        "prediction_score": "double",
    }
    (row,) = table.to_pylist()
    moment = row.pop("prediction_time")
    assert before <= moment <= after
    assert path.parent.name == f"date={moment.date()}"
    assert row == {
        "carrier": "UA",
        "departure": 1364797800,
        "distance": 1400.0,
        "prediction_request_id": "order-17",
        "prediction_row": 1,
        "prediction_key": None,
        "prediction_version": 3,
        "prediction_model_digest": "c0ffee",
        "prediction_shadow": False,
        "prediction_label": answer["prediction"],
        "prediction_score": answer["score"],
    }


def test_rows_have_their_number_and_the_keys_of_the_caller(start, folder):
    with start(log={"folder": str(folder)}) as gateway:
        response = gateway.post("/v1/predict", json={"rows": [ROW, ROW, ROW], "keys": ["a", 17, None]})

    assert response.status_code == 200
    table = pq.read_table(folder)
    assert table["prediction_row"].to_pylist() == [1, 2, 3]
    assert table["prediction_key"].to_pylist() == ["a", "17", None]


@pytest.mark.parametrize("keys", [["a"], [], [1, 2, 3], [[1], [2]], ["x" * 257, "y"]])
def test_keys_that_do_not_suit_the_rows_are_refused(start, folder, keys):
    with start(log={"folder": str(folder)}) as gateway:
        response = gateway.post("/v1/predict", json={"rows": [ROW, ROW], "keys": keys})

    assert response.status_code == 422
    assert "keys" in response.json()["detail"]
    assert not files(folder)


def test_days_that_are_too_old_are_deleted(start, folder, monkeypatch):
    noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr("serving.gateway.prediction_log.datetime", clock_at(noon))
    days = [noon.date() - datetime.timedelta(days=each) for each in (0, 2, 3, 40)]
    for name in (*(f"date={day}" for day in days), "date=of-nobody", "other"):
        (folder / name).mkdir(parents=True)
    with start(log={"folder": str(folder), "keep_days": 2}) as gateway:
        predict(gateway, ROW)

    assert {path.name for path in folder.iterdir()} == {f"date={days[0]}", f"date={days[1]}", "date=of-nobody", "other"}


def test_what_is_missing_is_null(start, folder):
    with start(log={"folder": str(folder)}) as gateway:
        predict(gateway, {"carrier": "UA", "distance": 5})

    assert pq.read_table(folder).to_pylist()[0]["departure"] is None


def test_all_rows_are_there_when_the_gateway_ends(start, folder):
    with start(log={"folder": str(folder)}) as gateway:
        for _ in range(3):
            predict(gateway, *ROWS)
        assert not files(folder)

    assert pq.read_table(folder)["distance"].to_pylist() == [row["distance"] for row in ROWS] * 3
    assert len(files(folder)) == 1


def test_a_file_is_written_when_its_rows_are_old_enough(start, folder):
    with start(log={"folder": str(folder), "flush_seconds": 0.2}) as gateway:
        predict(gateway, ROW)
        wait_until(lambda: files(folder), "a file")


def test_a_sample(start, folder):
    with start(log={"folder": str(folder), "sample": 0.3}) as gateway:
        for _ in range(10):
            predict(gateway, *ROWS)

    assert 200 < len(pq.read_table(folder)) < 400


def test_personal_columns_are_left_out(start, folder):
    with start(log={"folder": str(folder), "exclude": ["carrier"]}) as gateway:
        predict(gateway, ROW)

    assert "carrier" not in pq.read_table(folder).column_names


@pytest.mark.parametrize("log", [{"folder": None}, {"sample": 0.0}])
def test_it_can_be_turned_off(start, folder, log):
    with start(log={"folder": str(folder)} | log) as gateway:
        predict(gateway, ROW)

    assert not folder.exists()


def test_what_is_answered_by_the_cache_is_logged_too(start, folder):
    with start(log={"folder": str(folder)}, cache={"rows": 10}) as gateway:
        predict(gateway, ROW)
        predict(gateway, ROW)

    assert len(pq.read_table(folder)) == 2


def test_versions_with_other_features_have_files_of_their_own(start, server, folder):
    with start(log={"folder": str(folder)}) as gateway:
        predict(gateway, ROW)
        server.features = {"carrier": "DT_STRING"}
        server.versions = {4: "AVAILABLE"}
        server.model = lambda columns: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}
        wait_until(lambda: predict(gateway, {"carrier": "UA"}).status_code == 200, "an answer of the new version")

    schemas = {tuple(pq.ParquetFile(path).schema_arrow.names[:2]) for path in files(folder)}
    assert schemas == {("carrier", "departure"), ("carrier", "prediction_time")}


def test_a_folder_that_cannot_be_written_never_fails_a_request(start, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with start(log={"folder": str(tmp_path / "file"), "flush_seconds": 0.05}) as gateway:
        for _ in range(3):
            assert predict(gateway, *ROWS).status_code == 200
        wait_until(lambda: sample(gateway, "gateway_log_dropped_total") >= 300, "a count of the dropped rows")

    complaints = [record for record in caplog.records if "predictions cannot be logged" in record.getMessage()]
    assert len(complaints) == 1


def test_a_queue_that_is_full_drops_rows_and_counts_them(start, folder, monkeypatch):
    monkeypatch.setattr(prediction_log, "QUEUE_ROWS", 10)
    write = prediction_log._write_file

    answered = threading.Event()

    def write_when_all_is_answered(*arguments):
        assert answered.wait(PATIENCE)
        write(*arguments)

    monkeypatch.setattr(prediction_log, "_write_file", write_when_all_is_answered)
    with start(log={"folder": str(folder), "flush_seconds": 0.001}) as gateway:
        for _ in range(5):
            assert predict(gateway, *ROWS).status_code == 200
        dropped = sample(gateway, "gateway_log_dropped_total")
        answered.set()

    written = len(pa.dataset.dataset(folder).to_table()) if files(folder) else 0
    assert dropped > 0
    assert written + dropped == 500


def test_nobody_reads_a_file_that_is_being_written(start, folder, monkeypatch):
    seen = []

    def write_half(table, path):
        path.write_bytes(b"half")
        seen.extend(folder.rglob("*.parquet"))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prediction_log.pq, "write_table", write_half)

    with start(log={"folder": str(folder)}) as gateway:
        predict(gateway, ROW)

    assert not seen
    assert not [path for path in folder.rglob("*") if path.is_file()]
