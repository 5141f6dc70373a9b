"""Statistics of a window that moves on: only new spans are read, and the statistics are those of all rows."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import pytest
from google.protobuf.message import Message
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx.types import standard_artifacts

from components.example_gen import properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.executor import Executor as ExampleGen
from components.example_gen.inputs import resolve
from components.shared.span_results import FOLDER
from components.statistics_gen import component
from components.statistics_gen.batches import read_batches
from components.statistics_gen.component import Executor
from components.statistics_gen.statistics import STATES, compute_statistics
from pipeline.config import Split
from pipeline.util import states

WINDOW = Split(method="window", train_spans=2, eval_spans=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(1, 5):
        rows = [f"{row},{row / 7 + number},{'' if row % 3 else f'w{row % (5 * number)}'}" for row in range(50 * number)]
        (tmp_path / f"{number}.csv").write_text("\n".join(["id,value,words", *rows, ""]))
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that have been read, in order."""
    seen: list[str] = []

    def spy(files: list[str], *arguments: object) -> object:
        seen.extend(files)
        return read_batches(files, *arguments)

    monkeypatch.setattr(component, "read_batches", spy)
    return seen


def ingest(
    root: Path, run: str, newest: int, pattern: str = "{SPAN}.csv", split: Split = WINDOW
) -> standard_artifacts.Examples:
    component = ArrowExampleGen(str(root / pattern), split=split, newest_span=newest)
    settings = {name: value for name, value in component.exec_properties.items() if value is not None}
    examples = standard_artifacts.Examples()
    examples.uri = str(root / "examples" / run)
    ExampleGen().Do({}, {properties.EXAMPLES: [examples]}, {**settings, **resolve(settings)})
    return examples


def count(examples: standard_artifacts.Examples, folder: Path) -> dict[str, bytes]:
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder)
    Executor().Do({"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": "[]"})
    return {split: (folder / f"Split-{split}" / "FeatureStats.pb").read_bytes() for split in ("train", "eval")}


def test_only_the_new_span_is_counted(root: Path, read: list[str]) -> None:
    count(ingest(root, "1", 3), root / "statistics" / "1")
    assert len(read) == 3
    read.clear()
    second = ingest(root, "2", 4)

    after = count(second, root / "statistics" / "2")

    # The span that was for evaluation is counted already, though for another split.
    assert [Path(path).parent.name for path in read] == ["Split-eval"]
    assert after == count(second, root / "elsewhere" / "1")


def test_they_are_those_of_all_rows_at_once(root: Path) -> None:
    examples = ingest(root, "1", 4)
    for split, content in count(examples, root / "statistics" / "1").items():
        files = sorted(map(str, Path(examples.uri, f"Split-{split}").iterdir()))
        assert_close(DatasetFeatureStatisticsList.FromString(content), compute_statistics(read_batches(files)), split)


def test_two_spans_with_the_same_rows_are_two(root: Path) -> None:
    for number in (1, 2):
        (root / str(number)).mkdir()
        (root / str(number) / "rows.csv").write_text("id\n1\n2\n")
    (root / "3").mkdir()
    (root / "3" / "rows.csv").write_text("id\n3\n")
    count(
        ingest(root, "1", 2, pattern="{SPAN}/rows.csv", split=Split(method="window", train_spans=1)), root / "statistics" / "1"
    )

    after = count(ingest(root, "2", 3, pattern="{SPAN}/rows.csv"), root / "statistics" / "2")

    assert DatasetFeatureStatisticsList.FromString(after["train"]).datasets[0].num_examples == 4


def test_what_was_kept_but_damaged_is_counted_again(root: Path, read: list[str]) -> None:
    examples = ingest(root, "1", 3)
    before = count(examples, root / "statistics" / "1")
    for path in (root / "statistics" / "1" / FOLDER).iterdir():
        os.truncate(path, 100)
    read.clear()

    assert count(examples, root / "statistics" / "2") == before
    assert len(read) == 3


def test_no_flipped_bit_is_taken_for_other_statistics(root: Path) -> None:
    count(ingest(root, "1", 3), root / "statistics" / "1")
    for path in (root / "statistics" / "1" / FOLDER).iterdir():
        content = path.read_bytes()
        for position in random.Random(7).sample(range(8 * len(content)), 100):
            flipped = bytearray(content)
            flipped[position // 8] ^= 1 << position % 8
            with pytest.raises(states.BrokenStateError):
                states.loads(bytes(flipped), STATES)


def test_files_that_are_not_those_that_were_ingested_are_read(root: Path, read: list[str]) -> None:
    examples = ingest(root, "1", 3)
    before = count(examples, root / "statistics" / "1")
    (first, _) = sorted(Path(examples.uri, "Split-train").iterdir())
    first.unlink()

    assert count(examples, root / "statistics" / "2")["train"] != before["train"]


def assert_close(one: object, other: object, where: str) -> None:
    """Compares messages field by field, numbers to 1e-9."""
    if isinstance(one, Message) and isinstance(other, Message):
        fields = [field.name for field, _ in one.ListFields()]
        assert fields == [field.name for field, _ in other.ListFields()], where
        for name in fields:
            assert_close(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif isinstance(one, (int, float)) and isinstance(other, (int, float)):
        assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12), where
    elif isinstance(one, (str, bytes)):
        assert one == other, where
    else:
        assert len(one) == len(other), where  # type: ignore[arg-type]
        for position, (value, counterpart) in enumerate(zip(one, other, strict=True)):  # type: ignore[call-overload]
            assert_close(value, counterpart, f"{where}[{position}]")
