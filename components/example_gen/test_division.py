from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2
from tfx.types import standard_artifacts

from components.example_gen import division, properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.executor import Executor
from components.example_gen.inputs import resolve
from components.example_gen.splitter import Hashed, threshold_for
from components.example_gen.table import Rows
from components.shared.examples import tfrecord
from components.shared.examples.splits import split_parts
from pipeline.config import Split
from pipeline.errors import DataError

FEW = settings(max_examples=25)
EPOCH = datetime(2013, 1, 1, tzinfo=timezone.utc)


def ingest(pattern: Path, out: Path, split: Split, label: str | None = None) -> standard_artifacts.Examples:
    component = ArrowExampleGen(str(pattern), split=split, label=label, compression="none")
    configured = {name: value for name, value in component.exec_properties.items() if value is not None}
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**configured, **resolve(configured)})
    return artifact


def ids(artifact: standard_artifacts.Examples, split: str) -> list[int]:
    """The values of the column `id` in a split, in order."""
    found = []
    for path in sorted(Path(artifact.uri, f"Split-{split}").iterdir()):
        with path.open("rb") as file:
            for record in tfrecord.read(file):
                found += example_pb2.Example.FromString(record).features.feature["id"].int64_list.value
    return found


def divide(
    tmp_path: Path, columns: dict[str, list[Any]], split: Split, label: str | None = None, cuts: Sequence[int] = ()
) -> tuple[list[int], list[int]]:
    """The ids in train and in eval of a table, which is cut into files before these rows."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    rows = len(next(iter(columns.values())))
    table = pa.table({"id": list(range(rows)), **columns})
    borders = sorted({0, rows, *cuts})
    for number, (start, end) in enumerate(itertools.pairwise(borders)):
        pq.write_table(table.slice(start, end - start), folder / f"{number:03}.parquet")
    artifact = ingest(folder / "*.parquet", folder / "out", split, label)
    return ids(artifact, "train"), ids(artifact, "eval")


def error(tmp_path: Path, columns: dict[str, list[Any]], split: Split, label: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        divide(tmp_path, columns, split, label)
    return caught.value


@given(st.lists(st.binary(max_size=30), max_size=200, unique=True), st.floats(0.01, 0.98))
def test_a_hashed_split_keeps_every_row_once_and_nests(rows: list[bytes], fraction: float) -> None:
    def split(examples: list[bytes], fraction: float) -> dict[str, list[bytes]]:
        array = pa.array(examples, pa.large_binary())
        divided = Hashed(threshold_for(fraction)).split(Rows(pa.record_batch({"": pa.nulls(len(array))}), array))
        return {name: part.to_pylist() for name, part in divided.items()}

    splits = split(rows, fraction)
    assert sorted(splits["train"] + splits["eval"]) == sorted(rows)
    assert set(split(rows[::-1], fraction)["eval"]) == set(splits["eval"])
    assert set(splits["eval"]) <= set(split(rows, fraction + 0.01)["eval"])


@FEW
@given(st.data())
def test_each_class_has_its_share_of_both_splits_however_the_table_is_cut(tmp_path: Path, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(["common", "common", "common", "rare", "", "日"]), min_size=2, max_size=60))
    fraction = data.draw(st.floats(0.05, 0.95))
    columns = {"label": labels}
    train, held = divide(tmp_path, columns, Split(eval_fraction=fraction), "label")

    assert sorted(train + held) == list(range(len(labels)))
    assert min(len(train), len(held)) > 0
    of_train, of_eval = (Counter(labels[row] for row in split) for split in (train, held))
    for name, count in Counter(labels).items():
        if count > 1:
            assert min(of_train[name], of_eval[name]) > 0
            assert abs(of_eval[name] - fraction * count) <= 1
    cuts = data.draw(st.lists(st.integers(1, len(labels) - 1), max_size=3))
    assert divide(tmp_path, columns, Split(eval_fraction=fraction), "label", cuts) == (train, held)


def test_rows_that_are_equal_stay_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,y\n" + "1,0\n" * 30 + "2,0\n" * 5 + "3,1\n" * 5)
    artifact = ingest(tmp_path / "a.csv", tmp_path / "out", Split(), "y")
    train, held = ids(artifact, "train"), ids(artifact, "eval")
    assert set(train) & set(held) == set()
    assert set(train) | set(held) == {1, 2, 3}


def test_without_classes_the_share_is_exact(tmp_path: Path) -> None:
    train, held = divide(tmp_path, {"y": [n / 8 for n in range(100)]}, Split(stratify=False), "y")
    assert (len(train), len(held)) == (80, 20)


def test_classes_of_one_row_each_do_not_leave_eval_empty(tmp_path: Path) -> None:
    train, held = divide(tmp_path, {"y": ["a", "b", "c", "d", "e"]}, Split(), "y")
    assert (len(train), len(held)) == (4, 1)


def test_a_long_table_is_divided_by_the_hash_alone_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(division, "EXACT_ROWS", 49)
    labels = ["rare" if n in (3, 4) else "common" for n in range(100)]
    _, held = divide(tmp_path, {"y": labels}, Split(), "y")
    _, of_half = divide(tmp_path, {"y": labels[:50]}, Split(), "y")
    assert of_half == [row for row in held if row < 50]
    _, exactly = divide(tmp_path, {"y": labels}, Split(stratify=True), "y")
    assert len(exactly) == round(0.2 * 98) + 1
    assert len({3, 4} & set(exactly)) == 1


@FEW
@given(st.data())
def test_no_group_is_on_both_sides_however_the_table_is_cut(tmp_path: Path, data: st.DataObject) -> None:
    keys = st.sampled_from([1, 2, 3, None]) if data.draw(st.booleans()) else st.sampled_from(["a", "b", "ü", "", None])
    rows = data.draw(st.lists(st.tuples(keys, st.sampled_from([0.5, 1.0, float(2**60)])), min_size=8, max_size=40))
    customers, shops = (list(column) for column in zip(*rows, strict=True))
    by = data.draw(st.sampled_from(["customer", ("customer", "shop")]))
    columns = {"customer": customers, "shop": shops}
    values = customers if by == "customer" else rows
    groups = {value for value in values if value not in (None, "")}
    split = Split(method="group", by=by, eval_fraction=0.3)
    if len(groups) < 2:
        assert "fewer than two values" in error(tmp_path, columns, split).what
        return
    train, held = divide(tmp_path, columns, split)

    assert sorted(train + held) == list(range(len(rows)))
    assert {values[row] for row in train} & {values[row] for row in held} <= {None, ""}
    assert min(len(train), len(held)) > 0
    cuts = data.draw(st.lists(st.integers(1, len(rows) - 1), max_size=3))
    assert divide(tmp_path, columns, split, cuts=cuts) == (train, held)


def test_a_group_is_the_same_in_files_of_other_types(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,customer\n" + "".join(f"{n},{n % 7}\n" for n in range(50)))
    (tmp_path / "2.csv").write_text("id,customer\n" + "".join(f"{n},{n % 7}.0\n" for n in range(50, 100)))
    artifact = ingest(tmp_path / "?.csv", tmp_path / "out", Split(method="group", by="customer"))
    customers = [{row % 7 for row in ids(artifact, split)} for split in ("train", "eval")]
    assert customers[0] | customers[1] == set(range(7))
    assert not customers[0] & customers[1]


def test_rows_without_a_group_are_divided_one_by_one_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, held = divide(tmp_path, {"c": ["a", "b"] * 10 + [None] * 80}, Split(method="group", by="c", eval_fraction=0.4))
    assert min(sum(row >= 20 for row in split) for split in (train, held)) > 20
    assert "note: 80 rows without a value of c" in capsys.readouterr().out


def test_groups_too_large_for_the_share_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    divide(tmp_path, {"c": ["a", "b"] * 10}, Split(method="group", by="c"))
    assert "note: eval has 50 % of the rows, not 20 %: rows with the same value stay together." in capsys.readouterr().out


_TIMES = st.integers(0, 40).map(lambda days: EPOCH + timedelta(days=days, microseconds=days % 3))


@FEW
@given(st.data())
def test_rows_to_evaluate_on_are_later_than_those_to_train_on(tmp_path: Path, data: st.DataObject) -> None:
    values = data.draw(st.sampled_from([_TIMES, st.integers(-(2**62), 2**62), st.floats(-1e9, 1e9), st.integers(1, 4)]))
    rows = data.draw(st.lists(st.none() | values, min_size=3, max_size=40))
    known = sorted(value for value in rows if value is not None)
    fraction = data.draw(st.floats(0.05, 0.95))
    split = Split(method="time", by="when", eval_fraction=fraction)
    if len(set(known)) < 2:
        assert "cannot be" in error(tmp_path, {"when": rows}, split).what
        return
    train, held = divide(tmp_path, {"when": rows}, split)

    assert sorted(train + held) == list(range(len(rows)))
    assert all(rows[row] is not None for row in held)
    boundary = min(rows[row] for row in held)
    assert all(rows[row] is None or rows[row] < boundary for row in train)
    off = abs(sum(value >= boundary for value in known) - fraction * len(known))
    assert all(abs(sum(v >= other for v in known) - fraction * len(known)) >= off for other in set(known) - {known[0]})
    cuts = data.draw(st.lists(st.integers(1, len(rows) - 1), max_size=3))
    assert divide(tmp_path, {"when": rows}, split, cuts=cuts) == (train, held)


def test_a_gap_lies_between_the_splits(tmp_path: Path) -> None:
    days = {"when": [EPOCH + timedelta(days=day) for day in range(100)]}
    split = Split(method="time", by="when", gap="7d")
    assert divide(tmp_path, days, split) == (list(range(74)), list(range(80, 100)))
    numbers = {"when": list(range(0, 1000, 10))}
    assert divide(tmp_path, numbers, split.model_copy(update={"gap": 70.0})) == (list(range(74)), list(range(80, 100)))


def test_the_artifact_and_the_run_tell_how_rows_were_divided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when = [None] + [EPOCH + timedelta(hours=hour) for hour in range(1, 100)]
    pq.write_table(pa.table({"id": list(range(100)), "when": when}), tmp_path / "a.parquet")
    artifact = ingest(tmp_path / "a.parquet", tmp_path / "out", Split(method="time", by="when", gap="3h"))
    assert artifact.get_string_custom_property("division") == (
        "by when, from 2013-01-04 08:00:00 UTC on to evaluate on, 2 rows less than 3h before that in neither split"
    )
    assert artifact.get_string_custom_property("boundary") == "2013-01-04 08:00:00 UTC"
    assert json.loads(artifact.get_string_custom_property("rows")) == {"train": 78, "eval": 20}
    assert "note: 1 row without a value of when: in train." in capsys.readouterr().out


def test_spans_are_stored_anew_where_the_boundary_has_moved(tmp_path: Path) -> None:
    def write(span: int) -> None:
        rows = range(20 * span, 20 * span + 20)
        (tmp_path / f"{span}.csv").write_text("id,when\n" + "".join(f"{row},{row}\n" for row in rows))

    def digests(artifact: standard_artifacts.Examples) -> list[str | None]:
        """The digests by which nodes after ExampleGen know rows that they have seen."""
        return [part.digest for split in ("train", "eval") for part in split_parts(artifact, split)]

    split = Split(method="time", by="when", eval_fraction=0.5)
    pattern = tmp_path / "{SPAN}.csv"
    seen: list[str | None] = []
    for newest, run in enumerate("abc", start=1):
        write(newest)
        artifact = ingest(pattern, tmp_path / "runs" / run, split)
        middle = 20 + 10 * newest
        assert ids(artifact, "train") == list(range(20, middle))
        assert ids(artifact, "eval") == list(range(middle, 20 * newest + 20))
        seen += digests(artifact)
    assert len(set(seen)) == len(seen) == 8
    assert digests(ingest(pattern, tmp_path / "runs" / "d", split)) == seen[-4:]


_DAYS = [EPOCH + timedelta(days=day) for day in range(10)]
_TABLE: dict[str, list[Any]] = {
    "sold": _DAYS,
    "number": list(range(10)),
    "words": ["a", "b"] * 5,
    "same": [7] * 10,
    "nothing": [None] * 10,
    "list": [[1, 2]] * 10,
}


@pytest.mark.parametrize(
    ("split", "seen", "fix", "mended"),
    [
        ({"method": "time", "by": "words"}, "text", "by to a column of times or numbers: id, sold, number", {"by": "sold"}),
        ({"method": "time", "by": "list"}, "lists of integers", "by to a column of times or numbers: id", {"by": "number"}),
        ({"method": "time", "by": "same"}, "7 in 10 rows", "split to {method: hash}", {"method": "hash", "by": None}),
        ({"method": "time", "by": "nothing"}, "no values", "by to a column of times or numbers: id, sold", {"by": "sold"}),
        ({"method": "time", "by": "sald"}, "id, sold", "Correct data.split.by", {"by": "sold"}),
        ({"method": "time", "by": "sold", "gap": 2}, "2", "gap to 2d if it is in days", {"gap": "2d"}),
        ({"method": "time", "by": "number", "gap": "1min"}, "1min", "gap to 60 if number counts seconds, or", {"gap": 5}),
        ({"method": "time", "by": "sold", "gap": "2w"}, "2w, while the first row", "gap to 8d or less", {"gap": "8d"}),
        ({"method": "time", "by": "number", "gap": 9.5}, "9.5, while the first row", "gap to 8 or less", {"gap": 8}),
        ({"method": "group", "by": "same"}, "1 group in 10 rows", "a column with more values", {"by": "words"}),
        ({"method": "group", "by": "nothing"}, "0 groups in 10 rows", "{method: hash}", {"method": "hash", "by": None}),
        ({"method": "group", "by": ["words", "shop"]}, "id, sold", "Correct data.split.by", {"by": ["words"]}),
    ],
)
def test_a_split_that_cannot_be_says_how_it_can(
    tmp_path: Path, split: dict[str, Any], seen: str, fix: str, mended: dict[str, Any]
) -> None:
    caught = error(tmp_path, _TABLE, Split.model_validate(split))
    assert caught.seen.startswith(seen)
    assert fix in caught.fix
    train, held = divide(tmp_path, _TABLE, Split.model_validate({**split, **mended}))
    assert min(len(train), len(held)) > 0


def test_a_table_without_times_or_numbers_is_ordered_by_what_the_remedy_names(tmp_path: Path) -> None:
    split = Split(method="time", by="when")

    def write(when: Sequence[str]) -> Path:
        (tmp_path / "a.csv").write_text("when,name\n" + "".join(f"{each},x\n" for each in when))
        return tmp_path / "a.csv"

    with pytest.raises(DataError) as caught:
        ingest(write(["early", "late"]), tmp_path / "1", split)
    assert "such as 2013-01-31 or 2013-01-31 18:30:00" in caught.value.fix
    assert ingest(write(["2013-01-31", "2013-01-31 18:30:00"]), tmp_path / "2", split).get_string_custom_property("boundary")
    ingest(write(["early", "late"]), tmp_path / "3", Split())


def test_rows_that_are_all_equal_cannot_be_divided(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "1,0\n" * 50)
    with pytest.raises(DataError) as caught:
        ingest(tmp_path / "a.csv", tmp_path / "1", Split(), "y")
    assert caught.value.seen == "50 rows, 1 different"
    (tmp_path / "a.csv").write_text("x,y\n" + "1,0\n" * 50 + "2,0\n")
    ingest(tmp_path / "a.csv", tmp_path / "2", Split(), "y")


def test_a_small_table_in_spans_can_be_stratified(tmp_path: Path) -> None:
    for span in range(3):
        (tmp_path / f"{span}.csv").write_text(f"x,y\n{span},0\n")
    with pytest.raises(DataError) as caught:
        ingest(tmp_path / "{SPAN}.csv", tmp_path / "1", Split(eval_fraction=0.01), "y")
    assert "Set data.split.stratify to true" in caught.value.fix
    artifact = ingest(tmp_path / "{SPAN}.csv", tmp_path / "2", Split(eval_fraction=0.01, stratify=True), "y")
    assert json.loads(artifact.get_string_custom_property("rows")) == {"train": 2, "eval": 1}


@pytest.mark.parametrize("split", [Split(method="time", by="when"), Split(method="group", by="when"), Split(stratify=True)])
def test_a_table_is_divided_alike_as_tf_examples(tmp_path: Path, split: Split) -> None:
    rows = "".join(f"{row},{row % 28},{row % 2}\n" for row in range(60))
    (tmp_path / "a.csv").write_text("id,when,y\n" + rows)
    csv = ingest(tmp_path / "a.csv", tmp_path / "csv", split, "y")
    records = ingest(tmp_path / "csv" / "Split-*" / "data_tfrecord-*", tmp_path / "tfrecord", split, "y")
    for name in ("train", "eval"):
        assert sorted(ids(records, name)) == sorted(ids(csv, name))
    assert records.get_string_custom_property("division") == csv.get_string_custom_property("division")
