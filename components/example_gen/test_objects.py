"""Inputs in S3 and Cloud Storage, read from a store on this machine that speaks the APIs of both."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.example_gen import properties
from components.example_gen.as_read import RowsAsRead
from components.example_gen.component import ArrowExampleGen
from components.example_gen.executor import Executor
from components.example_gen.inputs import resolve
from components.example_gen.objects import last_changed, local_copies
from components.example_gen.spans import SingleSplit, find_spans
from components.example_gen.table import open_table
from pipeline.config import Data, Split
from pipeline.errors import DataError, StorageError, UsageError
from tests.fakes.object_store import ACCESS_KEY, ObjectStore, serve

SCHEMES = pytest.mark.parametrize("scheme", ["s3", "gs"])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """With three spans, and the credentials and the folder for copies that read it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with serve() as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.host)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.host)
        for span in (1, 2, 3):
            store.put(f"data/span-{span}.csv", table(span))
        yield store


def table(span: int, rows: int = 20) -> bytes:
    return "".join(["id,x\n", *(f"{span}{row:03},{row / 4}\n" for row in range(rows))]).encode()


def properties_of(pattern: str, split: Split | SingleSplit) -> dict[str, Any]:
    given = ArrowExampleGen(pattern, split=split).exec_properties
    return {name: value for name, value in given.items() if value is not None}


def ingest(pattern: str, out: Path, split: Split | SingleSplit = SingleSplit(spans=None)) -> dict[str, bytes]:  # noqa: B008
    """The files that ExampleGen writes, by name."""
    given = properties_of(pattern, split)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**given, **resolve(given)})
    return {str(path.relative_to(out)): path.read_bytes() for path in out.glob("Split-*/*")}


@SCHEMES
def test_objects_are_ingested_as_files_are(store: ObjectStore, tmp_path: Path, scheme: str) -> None:
    for key, (content, _) in store.buckets["bucket"].items():
        path = tmp_path / "files" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    of_objects = ingest(f"{scheme}://bucket/data/span-{{SPAN}}.csv", tmp_path / "objects")

    assert of_objects == ingest(f"{tmp_path}/files/data/span-{{SPAN}}.csv", tmp_path / "plain")


@SCHEMES
def test_when_objects_were_written_is_known_and_one_that_is_gone_has_just_changed(store: ObjectStore, scheme: str) -> None:
    moment = datetime(2024, 5, 1, tzinfo=timezone.utc)
    for span, day in ((1, 0), (2, 3)):
        store.put(f"data/span-{span}.csv", table(span), moment + timedelta(days=day))
    addresses = [f"{scheme}://bucket/data/span-{span}.csv" for span in (1, 2)]
    assert last_changed(addresses) == (moment + timedelta(days=3)).timestamp()
    assert last_changed([*addresses, f"{scheme}://bucket/data/none.csv"]) > (moment + timedelta(days=30)).timestamp()


def test_an_emulator_may_be_named_by_host_and_port_alone(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.host.removeprefix("http://"))
    address = "gs://bucket/data/span-1.csv"

    assert Path(local_copies([address])[address]).read_bytes() == table(1)


def test_the_same_content_is_the_same_input_wherever_it_is(store: ObjectStore, tmp_path: Path) -> None:
    for span in (1, 2, 3):
        (tmp_path / f"span-{span}.csv").write_bytes(table(span))
    split = Split(method="window")

    found, plain = (
        resolve(properties_of(pattern, split))
        for pattern in ("s3://bucket/data/span-{SPAN}.csv", f"{tmp_path}/span-{{SPAN}}.csv")
    )

    assert found[properties.FINGERPRINT] == plain[properties.FINGERPRINT]
    assert "s3://bucket/data/span-3.csv" in found[properties.INPUT_FILES]


@SCHEMES
def test_only_the_spans_that_are_read_are_fetched_each_once(store: ObjectStore, scheme: str) -> None:
    given = properties_of(f"{scheme}://bucket/data/span-{{SPAN}}.csv", Split(method="window", train_spans=1))

    for _ in range(2):
        resolve(given)

    assert sorted(store.reads) == ["data/span-2.csv", "data/span-3.csv"]


def test_an_object_that_has_changed_is_fetched_again(store: ObjectStore) -> None:
    address = "s3://bucket/data/span-1.csv"
    local_copies([address])
    store.put("data/span-1.csv", table(7), datetime(2026, 1, 2, tzinfo=timezone.utc))

    assert Path(local_copies([address])[address]).read_bytes() == table(7)


def test_an_object_that_was_written_just_now_may_be_written_again_unseen(store: ObjectStore) -> None:
    # An hour ahead, so that it is just now however slow the machine is.
    now = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)
    address = "s3://bucket/data/span-1.csv"
    store.put("data/span-1.csv", table(7), now)
    local_copies([address])
    store.put("data/span-1.csv", table(8), now)

    assert Path(local_copies([address])[address]).read_bytes() == table(8)


def test_an_object_that_is_written_again_while_it_is_read_is_no_copy(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = "s3://bucket/data/span-1.csv"
    monkeypatch.setattr(store, "after_read", lambda: store.put("data/span-1.csv", table(7, rows=9)))

    with pytest.raises(StorageError, match="written again while it was read"):
        local_copies([address])

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_copies_are_this_users_alone(store: ObjectStore, tmp_path: Path) -> None:
    copy = Path(local_copies(["s3://bucket/data/span-1.csv"])["s3://bucket/data/span-1.csv"])

    assert copy.name == "span-1.csv"
    assert copy.parent.parent.stat().st_mode & 0o77 == 0


def test_copies_that_nothing_has_used_for_a_month_are_removed(store: ObjectStore) -> None:
    first, second, third = (f"s3://bucket/data/span-{span}.csv" for span in (1, 2, 3))
    copies = {address: Path(local_copies([address])[address]) for address in (first, second)}
    for copy in copies.values():
        os.utime(copy.parent, (time.time() - 31 * 24 * 3600,) * 2)
    local_copies([second, third])
    assert not copies[first].exists()
    assert copies[second].exists()
    assert store.reads == ["data/span-1.csv", "data/span-2.csv", "data/span-3.csv"]


@SCHEMES
def test_a_table_that_is_scored_is_read_as_it_came(store: ObjectStore, scheme: str) -> None:
    data = Data(input=f"{scheme}://bucket/data/span-{{SPAN}}.csv")

    (batch,) = RowsAsRead.open(data, SingleSplit()).batches()

    assert batch.schema.names == ["id", "x"]
    assert batch.column("id")[0].as_py() == "3000"


@SCHEMES
def test_a_table_is_opened_without_a_run(store: ObjectStore, scheme: str) -> None:
    data = Data(input=f"{scheme}://bucket/data/span-{{SPAN}}.csv", newest_span=2)

    table = open_table(data, split=SingleSplit())

    assert next(row for batch in table.batches() for row in batch.to_pylist()) == {"id": 2000, "x": 0.0}


@SCHEMES
def test_what_reading_a_table_finds_is_told_by_the_address(store: ObjectStore, scheme: str) -> None:
    store.put("data/span-4.csv", b"x\n1\nno number\n")
    data = Data(input=f"{scheme}://bucket/data/span-{{SPAN}}.csv", columns={"x": "integer"})
    table = open_table(data, split=SingleSplit())

    with pytest.raises(DataError) as caught:
        list(table.batches())

    assert caught.value.where == f"{scheme}://bucket/data/span-4.csv, line 3"


@SCHEMES
def test_a_pattern_is_one_of_paths_of_folders_too(store: ObjectStore, scheme: str) -> None:
    store.put("other/2026/part-a.csv", table(1))
    store.put("other/2026/deeper/part-b.csv", table(1))

    (span,) = find_spans(f"{scheme}://bucket/other/{{SPAN}}/*.csv")

    assert (span.number, span.files) == (2026, (f"{scheme}://bucket/other/2026/part-a.csv",))


@SCHEMES
@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("bucket/data/month-{SPAN}.csv", "bucket/data contains span-1.csv, span-2.csv, span-3.csv"),
        ("bucket/nothing/*.csv", "bucket/nothing contains nothing"),
        ("other/data.csv", "other contains nothing"),
    ],
)
def test_a_pattern_that_nothing_matches(store: ObjectStore, scheme: str, pattern: str, seen: str) -> None:
    with pytest.raises(UsageError, match="No file matches") as caught:
        find_spans(f"{scheme}://{pattern}")

    assert caught.value.seen == f"{scheme}://{seen}"


@SCHEMES
def test_an_object_that_is_gone(store: ObjectStore, scheme: str) -> None:
    with pytest.raises(UsageError, match="is gone") as caught:
        local_copies([f"{scheme}://bucket/data/span-9.csv"])

    assert caught.value.where == f"{scheme}://bucket/data/span-9.csv"


def test_credentials_that_are_refused(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")

    with pytest.raises(UsageError, match="may not be read with these credentials") as caught:
        find_spans("s3://bucket/data/*.csv")

    assert "AWS_PROFILE" in caught.value.fix
    assert "kubeflow.environment" in caught.value.fix


def test_a_store_that_does_not_answer_is_not_the_datas_fault(store: ObjectStore) -> None:
    store.is_down = True

    with pytest.raises(StorageError, match="cannot be read"):
        find_spans("s3://bucket/data/*.csv")


def test_errors_about_a_copy_name_the_object(store: ObjectStore, tmp_path: Path) -> None:
    store.put("data/broken.parquet", b"PAR1 and no more")

    with pytest.raises(DataError, match="damaged") as caught:
        ingest("s3://bucket/data/broken.parquet", tmp_path / "out")

    assert caught.value.where.startswith("s3://bucket/data/broken.parquet")
    assert str(tmp_path) not in str(caught.value)
