"""The rows that a training reads: their division, and the order of their batches."""

from __future__ import annotations

import itertools
import math
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training import examples, raw
from pipeline.training.examples import batches, read
from pipeline.training.transformation import GraphTransformation

NUM_ROWS = 10
FEATURES = {"numeric": tf.Variable(tf.reshape(tf.range(2.0 * NUM_ROWS), [NUM_ROWS, 2]))}
LABELS = np.arange(NUM_ROWS, dtype=np.float32)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def epochs(indices: list[int], batch_size: int, seed: int, count: int) -> list[list[int]]:
    """The labels of some epochs, which are the rows' numbers."""
    data = batches(FEATURES, LABELS, np.array(indices), batch_size, seed)
    steps = math.ceil(len(indices) / batch_size)
    labels = iter(data.map(lambda _, labels: labels).as_numpy_iterator())
    return [[int(row) for batch in itertools.islice(labels, steps) for row in batch] for _ in range(count)]


def test_every_epoch_has_each_row_once_in_an_order_of_its_own():
    indices = [0, 2, 3, 5, 6, 8, 9]
    seen = epochs(indices, batch_size=3, seed=7, count=3)

    assert [sorted(epoch) for epoch in seen] == [indices] * 3
    assert len({tuple(epoch) for epoch in seen}) == 3


def test_a_seed_makes_the_same_orders_again():
    rows = list(range(NUM_ROWS))

    assert epochs(rows, 4, seed=1, count=3) == epochs(rows, 4, seed=1, count=3)
    assert epochs(rows, 4, seed=1, count=3) != epochs(rows, 4, seed=2, count=3)


def test_without_a_seed_there_is_one_epoch_in_order():
    data = list(batches(FEATURES, LABELS, np.array([1, 4, 7]), 2, shuffle_seed=None).as_numpy_iterator())

    assert [labels.tolist() for _, labels in data] == [[1, 4], [7]]
    assert [features["numeric"].tolist() for features, _ in data] == [[[2, 3], [8, 9]], [[14, 15]]]


def test_rows_are_not_copied_to_make_batches():
    num_rows, size = 1 << 20, 128 << 20
    features = {"numeric": tf.Variable(tf.ones([num_rows, size // num_rows // 4]))}
    before = resident_bytes()

    data = iter(batches(features, np.zeros(num_rows, np.float32), np.arange(num_rows), 64, shuffle_seed=1))
    next(data)

    assert resident_bytes() - before < size / 2


class TransformGraph:
    """What a transformation needs of a tft.TFTransformOutput: it doubles numbers and leaves the label."""

    def raw_feature_spec(self) -> dict[str, object]:
        return {"number": tf.io.FixedLenFeature([], tf.int64), "label": tf.io.VarLenFeature(tf.string)}

    def transformed_feature_spec(self) -> dict[str, object]:
        return {"twice": tf.io.FixedLenFeature([2], tf.float32), "label": tf.io.VarLenFeature(tf.string)}

    def transform_features_layer(self) -> object:
        def transform(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            number = tf.cast(columns["number"], tf.float32)
            return {"twice": tf.stack([number, 2 * number], axis=1), "label": columns["label"]}

        return transform


@pytest.mark.parametrize("batch_size", [1, 7, 4096])
def test_rows_are_read_in_the_order_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int):
    monkeypatch.setattr(examples, "_READ_BATCH_SIZE", batch_size)
    num_rows = 3_000
    for name, compression, numbers in (("a.gz", "GZIP", range(1_000)), ("b", "", range(1_000, num_rows))):
        with tf.io.TFRecordWriter(str(tmp_path / name), compression) as writer:
            for number in numbers:
                example = tf.train.Example()
                example.features.feature["number"].int64_list.value.append(number)
                if number % 3:
                    example.features.feature["label"].bytes_list.value.append(b"%d" % number)
                writer.write(example.SerializeToString())

    rows = read([str(tmp_path / "*")], GraphTransformation(TransformGraph(), "label"), "label")

    numbers = np.arange(num_rows, dtype=np.float32)
    assert rows.features["twice"].dtype == tf.float32
    assert np.array_equal(rows.features["twice"], np.stack([numbers, 2 * numbers], axis=1))
    assert list(rows.labels) == [b"%d" % number if number % 3 else raw.MISSING[tf.string] for number in range(num_rows)]
    sampled = [tf.train.Example.FromString(each).features.feature["number"].int64_list.value[0] for each in rows.sample]
    steps = {1: 1, 7: 1, 4096: 5}
    assert sampled == list(range(0, num_rows, steps[batch_size]))


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.bool, tf.float64, tf.uint8])
def test_features_of_any_type_that_holds_numbers(tmp_path: Path, dtype: tf.DType):
    class Graph(TransformGraph):
        def transform_features_layer(self) -> object:
            return lambda columns: {"cast": tf.cast(columns["number"], dtype), "label": columns["label"]}

    with tf.io.TFRecordWriter(str(tmp_path / "rows")) as writer:
        for number in range(3):
            example = tf.train.Example()
            example.features.feature["number"].int64_list.value.append(number)
            writer.write(example.SerializeToString())

    values = read([str(tmp_path / "*")], GraphTransformation(Graph(), "label"), "label").features["cast"]

    assert values.dtype == dtype
    assert tf.cast(values, tf.int64).numpy().tolist() == tf.cast(tf.cast([[0], [1], [2]], dtype), tf.int64).numpy().tolist()


def test_no_files_are_no_rows(tmp_path: Path):
    assert len(read([str(tmp_path / "*")], GraphTransformation(TransformGraph(), "label"), "label")) == 0


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_rows_with_any_number_of_values_are_padded_in_their_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
):
    class Graph(TransformGraph):
        def raw_feature_spec(self) -> dict[str, object]:
            return {name: tf.io.VarLenFeature(tf.int64) for name in ("number", "label")}

        def transform_features_layer(self) -> object:
            return lambda columns: {"bag_0": columns["number"], "label": columns["label"]}

    monkeypatch.setattr(examples, "_READ_BATCH_SIZE", batch_size)
    with tf.io.TFRecordWriter(str(tmp_path / "rows")) as writer:
        for numbers in ([], [], [1], [2, 3, 4], []):
            example = tf.train.Example()
            example.features.feature["number"].int64_list.value.extend(numbers)
            writer.write(example.SerializeToString())

    rows = read([str(tmp_path / "rows")], GraphTransformation(Graph(), "label"), "label")
    bag = rows.features["bag_0"]
    data = batches(rows.features, np.zeros(5, np.float32), np.array([1, 2, 3]), 2, shuffle_seed=None)

    assert examples.take(bag, np.array([3, 0, 2])).numpy().tolist() == [[2, 3, 4], [0, 0, 0], [1, 0, 0]]
    assert [features["bag_0"].tolist() for features, _ in data.as_numpy_iterator()] == [[[0], [1]], [[2, 3, 4]]]


def test_raw_columns_are_read_besides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(examples, "_READ_BATCH_SIZE", 2)
    with tf.io.TFRecordWriter(str(tmp_path / "rows")) as writer:
        for number in range(5):
            example = tf.train.Example()
            example.features.feature["number"].int64_list.value.append(number)
            example.features.feature["list"].float_list.value.extend([number / 2] * (number % 3))
            writer.write(example.SerializeToString())
    specs = {"number": tf.io.FixedLenFeature([], tf.int64), "list": tf.io.VarLenFeature(tf.float32)}

    rows = read([str(tmp_path / "rows")], GraphTransformation(TransformGraph(), "label"), "label", specs)

    assert rows.columns["number"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(rows.columns["list"], [math.nan, 0.5, 1, math.nan, 2])
