"""A window that moves on reads only new spans, and its output is that of a run from nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx.types import standard_artifacts

from components.example_gen import properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.executor import Executor
from components.example_gen.inputs import resolve
from components.example_gen.readers.csv import CsvReader
from pipeline.config import Split
from pipeline.contracts.spans import FILE_NAME, rows_of_spans
from pipeline.util.manifests import Manifest, path_of

WINDOW = Split(method="window", train_spans=2, eval_spans=1)
HASH = Split(method="hash", eval_fraction=0.3, spans=3)


@pytest.fixture
def months(tmp_path: Path) -> Path:
    for number in range(1, 5):
        write(tmp_path, number)
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the files whose rows have been read."""
    seen: set[str] = set()
    batches = CsvReader.batches

    def spy(reader: CsvReader, path: str, columns: Any) -> Any:
        seen.add(Path(path).stem)
        return batches(reader, path, columns)

    monkeypatch.setattr(CsvReader, "batches", spy)
    return seen


def write(folder: Path, number: int, values: str = "7") -> None:
    rows = [f"{number * 100 + row},{values},{'' if row % 3 else 'text'}" for row in range(20)]
    (folder / f"{number}.csv").write_text("\n".join(["id,value,words", *rows, ""]))


def ingest(folder: Path, out: Path, newest: int, split: Split = WINDOW, **arguments: Any) -> Path:
    component = ArrowExampleGen(str(folder / "{SPAN}.csv"), split=split, newest_span=newest, **arguments)
    set_by_person = {name: value for name, value in component.exec_properties.items() if value is not None}
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**set_by_person, **resolve(set_by_person)})
    Manifest.of(out).save(out)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("split", [WINDOW, HASH], ids=["window", "hash"])
def test_only_the_new_span_is_read(months: Path, read: set[str], split: Split) -> None:
    ingest(months, months / "runs" / "1", 3, split)
    assert read == {"1", "2", "3"}
    read.clear()

    second = ingest(months, months / "runs" / "2", 4, split)

    assert read == {"4"}
    assert contents(second) == contents(ingest(months, months / "elsewhere" / "1", 4, split))


def test_files_are_shared_with_the_earlier_run_and_outlive_it(months: Path) -> None:
    first = ingest(months, months / "runs" / "1", 3)
    second = ingest(months, months / "runs" / "2", 4)

    # The month that was for evaluation is now one to train on.
    moved = second / "Split-train" / "data_tfrecord-00001-of-00002.gz"
    assert os.path.samefile(moved, first / "Split-eval" / "data_tfrecord-00000-of-00001.gz")
    before = contents(second)
    shutil.rmtree(first)
    assert contents(second) == before
    assert [rows_of_spans(str(second), split) for split in ("train", "eval")] == [[20, 20], [20]]


def test_files_are_copied_where_there_are_no_links(months: Path, read: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    ingest(months, months / "runs" / "1", 3)
    read.clear()
    second = ingest(months, months / "runs" / "2", 4)

    assert read == {"4"}
    assert contents(second) == contents(ingest(months, months / "elsewhere" / "1", 4))


def test_a_span_that_was_written_anew_is_read(months: Path, read: set[str]) -> None:
    ingest(months, months / "runs" / "1", 3)
    read.clear()
    write(months, 2, values="8")

    ingest(months, months / "runs" / "2", 3)

    assert read == {"2"}


def test_a_new_span_that_widens_a_column_has_all_of_them_read(months: Path, read: set[str]) -> None:
    ingest(months, months / "runs" / "1", 3)
    read.clear()
    write(months, 4, values="7.5")

    second = ingest(months, months / "runs" / "2", 4)

    assert read == {"2", "3", "4"}
    assert contents(second) == contents(ingest(months, months / "elsewhere" / "1", 4))


@pytest.mark.parametrize(
    "values",
    [["31/12/2013", "01/02/2013", "01/02/2013", "12/31/2013"], ["100A", "100", "200", "300"], ["0.5", "true", "true", "true"]],
    ids=["dates", "codes", "truth"],
)
def test_a_span_is_read_again_where_the_others_make_something_else_of_it(
    months: Path, read: set[str], values: list[str]
) -> None:
    for number, value in enumerate(values, start=1):
        write(months, number, value)
    ingest(months, months / "runs" / "1", 3)
    read.clear()

    second = ingest(months, months / "runs" / "2", 4)

    assert read == {"2", "3", "4"}
    assert contents(second) == contents(ingest(months, months / "elsewhere" / "1", 4))


@pytest.mark.parametrize("arguments", [{"compression": "none"}, {"split": HASH}], ids=["compression", "split"])
def test_other_settings_have_all_spans_read(months: Path, read: set[str], arguments: dict[str, Any]) -> None:
    ingest(months, months / "runs" / "1", 3)
    read.clear()

    ingest(months, months / "runs" / "2", 3, **arguments)

    assert read == {"1", "2", "3"}


def flip(path: Path) -> None:
    """Flips the last bit of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def write_other_evidence(path: Path) -> None:
    """Makes the record of spans one that can be read, and is not what was made."""
    path.write_text(path.read_text().replace('"rows":20', '"rows":30'))


SHARD = "Split-train/data_tfrecord-00000-of-00002.gz"


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (lambda run: (run / SHARD).unlink(), {"1"}),
        (lambda run: flip(run / SHARD), {"1"}),
        (lambda run: os.truncate(run / FILE_NAME, 20), {"1", "2", "3"}),
        (lambda run: write_other_evidence(run / FILE_NAME), {"1", "2", "3"}),
        (lambda run: path_of(run).unlink(), {"1", "2", "3"}),
    ],
    ids=["shard gone", "bit of a shard", "record cut short", "record changed", "killed before its end"],
)
def test_a_damaged_earlier_run_is_left_aside(
    months: Path, read: set[str], damage: Callable[[Path], None], again: set[str]
) -> None:
    damage(ingest(months, months / "runs" / "1", 3))
    read.clear()

    second = ingest(months, months / "runs" / "2", 3)

    assert read == again
    assert contents(second) == contents(ingest(months, months / "elsewhere" / "1", 3))


@settings(max_examples=15)
@given(st.data())
def test_whatever_came_before_the_output_is_that_of_a_run_from_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spans")
    split = data.draw(st.sampled_from([WINDOW, HASH]))
    values = st.sampled_from(["7", "7.5", "8", "", "NA", "007", "true", "31/12/2013"])
    for number in range(1, 6):
        write(folder, number, data.draw(values))
    for run in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            write(folder, data.draw(st.integers(1, 5)), data.draw(values))
        ingest(folder, folder / "runs" / str(run), data.draw(st.integers(3, 5)), split)
    newest = data.draw(st.integers(3, 5))

    after = ingest(folder, folder / "runs" / "last", newest, split)

    assert contents(after) == contents(ingest(folder, folder / "elsewhere" / "1", newest, split))
