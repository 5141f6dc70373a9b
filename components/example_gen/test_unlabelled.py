"""Rows without a label are left out where the configuration says so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tfx.types import standard_artifacts

from components.example_gen import properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.executor import Executor
from components.example_gen.inputs import resolve
from components.example_gen.values import has_value
from components.shared.examples import tfrecord
from pipeline.config import Split
from pipeline.errors import DataError

ROWS = 40
BY_HASH = Split()
LABELS = {
    "text": ["a", "b", "", None],
    "integers": [1, 2, None, None],
    "numbers": [0.5, 1.5, math.nan, math.inf],
    "large": [0.5, 1.5, 1e300, None],
    "booleans": [True, False, None, None],
    "dictionary": pa.array(["a", "b", None, ""]).dictionary_encode(),
}
SPLITS = {
    "hash": BY_HASH,
    "hash of spans": Split(stratify=False, eval_fraction=0.4),
    "stratified": Split(stratify=True),
    "group": Split(method="group", by="id"),
    "time": Split(method="time", by="id"),
    "time with a gap": Split(method="time", by="id", gap=3.0),
}


def ingest(
    pattern: Path, out: Path, split: Split = BY_HASH, unlabelled: str = "drop", newest_span: int | None = None
) -> standard_artifacts.Examples:
    component = ArrowExampleGen(
        str(pattern), split=split, label="y", unlabelled=unlabelled, newest_span=newest_span, compression="none"
    )
    configured = {name: value for name, value in component.exec_properties.items() if value is not None}
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**configured, **resolve(configured)})
    return artifact


def ids(artifact: standard_artifacts.Examples, split: str) -> list[int]:
    records = [record for path in sorted(Path(artifact.uri, f"Split-{split}").iterdir()) for record in _records(path)]
    return [example_pb2.Example.FromString(record).features.feature["id"].int64_list.value[0] for record in records]


def _records(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(tfrecord.read(file))


def write(path: Path, label: list[Any] | pa.Array, start: int = 0) -> Path:
    """Ten rows for each of four values, in turn."""
    label = label if isinstance(label, pa.Array) else pa.array(label)
    y = label.take(pa.array([row % 4 for row in range(ROWS)]))
    pq.write_table(pa.table({"id": range(start, start + ROWS), "y": y}), path)
    return path


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_what_is_left_is_what_a_table_of_the_labelled_rows_gives(tmp_path, capsys, label, split):
    write(tmp_path / "all.parquet", label)
    labelled = [row for row in range(ROWS) if row % 4 < 2]
    pq.write_table(pq.read_table(tmp_path / "all.parquet").take(labelled), tmp_path / "labelled.parquet")

    dropped = ingest(tmp_path / "all.parquet", tmp_path / "dropped", split)
    assert "note: 20 of 40 rows have no value of the label 'y' and are left out." in capsys.readouterr().out
    alone = ingest(tmp_path / "labelled.parquet", tmp_path / "alone", split)
    assert "left out" not in capsys.readouterr().out
    for name in ("train", "eval"):
        assert ids(dropped, name) == ids(alone, name) != []
    for name in (properties.ROWS, properties.DIVISION, properties.BOUNDARY):
        assert dropped.get_string_custom_property(name) == alone.get_string_custom_property(name)


def test_by_default_they_stay(tmp_path):
    kept = ingest(write(tmp_path / "all.parquet", LABELS["text"]), tmp_path / "kept", unlabelled="refuse")

    assert sorted(ids(kept, "train") + ids(kept, "eval")) == list(range(ROWS))


def test_words_for_null_and_files_without_the_label_have_no_label(tmp_path, capsys):
    (tmp_path / "1.csv").write_text("id,y\n" + "".join(f"{row},{['NA', '3.5', '', '4'][row % 4]}\n" for row in range(ROWS)))
    (tmp_path / "2.csv").write_text("id\n" + "".join(f"{100 + row}\n" for row in range(ROWS)))

    found = ingest(tmp_path / "*.csv", tmp_path / "out")
    assert sorted(ids(found, "train") + ids(found, "eval")) == list(range(1, ROWS, 2))
    assert "60 of 80 rows" in capsys.readouterr().out


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_table_without_any_label_is_refused(tmp_path, split):
    with pytest.raises(DataError, match="The label 'y' has no values"):
        ingest(write(tmp_path / "all.parquet", [math.nan, math.inf, None, math.nan]), tmp_path / "out", split)


def test_a_later_run_takes_over_spans_without_their_unlabelled_rows(tmp_path, capsys):
    write(tmp_path / "1.parquet", LABELS["text"])
    write(tmp_path / "2.parquet", LABELS["text"], 100)
    window = Split(method="window", train_spans=1)
    first = ingest(tmp_path / "{SPAN}.parquet", tmp_path / "runs" / "1", window)
    write(tmp_path / "3.parquet", LABELS["text"], 200)
    capsys.readouterr()

    second = ingest(tmp_path / "{SPAN}.parquet", tmp_path / "runs" / "2", window)
    assert ids(second, "train") == ids(first, "eval") == [100 + row for row in range(ROWS) if row % 4 < 2]
    assert "40 of 80 rows have no value of the label" in capsys.readouterr().out
    with_all = ingest(tmp_path / "{SPAN}.parquet", tmp_path / "runs" / "3", window, "refuse")
    assert len(ids(with_all, "train")) == ROWS


def test_where_the_newest_span_has_no_labels_the_remedy_works(tmp_path):
    for span, label in enumerate([LABELS["text"], LABELS["text"], [None, "", None, None]]):
        write(tmp_path / f"{span}.parquet", label)
    window = Split(method="window", train_spans=1)
    with pytest.raises(DataError) as caught:
        ingest(tmp_path / "{SPAN}.parquet", tmp_path / "out", window)

    assert caught.value.seen == "train: 20, eval: 0; without a label, left out: 60"
    assert caught.value.fix == "Set data.newest_span to an earlier span, whose rows have labels."
    earlier = ingest(tmp_path / "{SPAN}.parquet", tmp_path / "earlier", window, newest_span=1)
    assert len(ids(earlier, "eval")) == ROWS // 2


@given(st.lists(st.one_of(st.none(), st.floats(width=64), st.just(math.nan)), max_size=20))
def test_numbers_that_a_feature_holds_are_values(numbers):
    found = has_value(pa.array(numbers, pa.float64())).to_pylist()

    assert found == [number is not None and math.isfinite(pa.scalar(number).cast(pa.float32()).as_py()) for number in numbers]


def test_a_list_with_a_value_is_a_value():
    assert has_value(pa.array([["a"], [], None, [None]])).to_pylist() == [True, False, False, True]
