"""The transformed rows to train on, in memory and in batches."""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.errors import ConfigError
from pipeline.training import raw
from pipeline.training.features import label_feature
from pipeline.training.transformation import Transformation
from pipeline.util.progress import RowProgress

_READ_BATCH_SIZE = 16_384
_BATCHES_AT_ONCE = 2
_SAMPLE_OF_A_BATCH = 512

# TensorFlow would rewrite the Python of functions that it traces: of the transform graph a second or two.
_as_written = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class Bag:
    """A feature with any number of values in a row: all values, and where each row ends, after a 0."""

    values: tf.Variable
    row_splits: tf.Variable

    def take(self, rows: npt.NDArray[np.int64] | tf.Tensor) -> tf.Tensor:
        """Some rows, [rows, most values], padded with 0."""
        ragged = tf.RaggedTensor.from_row_splits(self.values.read_value(), self.row_splits.read_value(), validate=False)
        return tf.gather(ragged, rows).to_tensor()


Features = dict[str, tf.Variable | Bag]
"""The model's inputs by name, [N, values]. Variables, as a dataset makes a copy of tensors that its functions refer to."""


def take(feature: tf.Variable | Bag, rows: npt.NDArray[np.int64] | tf.Tensor) -> tf.Tensor:
    """Some rows of a feature, [rows, values]; of a bag, [rows, most values], padded with 0."""
    return feature.take(rows) if isinstance(feature, Bag) else tf.gather(feature.read_value(), rows)


@dataclass(frozen=True)
class Rows:
    """Rows as columns.

    Attributes:
      features: the model's inputs.
      labels: [N]; bytes, integers or floats; `raw.MISSING` where there is none.
      columns: raw columns that are needed besides, [N] each, as the labels.
      sample: some rows as they were read, spread over all: serialized tf.Examples, [M].
    """

    features: Features
    labels: npt.NDArray[np.generic]
    columns: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    sample: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))

    def __len__(self) -> int:
        return len(self.labels)


def read(
    patterns: Sequence[str],
    transformation: Transformation,
    label: str,
    columns: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature] | None = None,
) -> Rows:
    """Reads raw examples into memory and transforms them on the way, which takes less time than to write them transformed.

    Args:
      patterns: file patterns of TFRecord files, gzipped where the name ends in .gz.
      transformation: computes the features.
      label: the label's name.
      columns: the specs of raw columns to read besides, by name.
    """
    learned, specs = label_feature(label), dict(columns or {})

    @_as_written
    def prepare(examples: tf.Tensor) -> tuple[dict[str, Any], dict[str, tf.Tensor], tf.Tensor]:
        rows = {
            name: raw.to_dense(values) if name == learned else _to_rows(values, tf.size(examples))
            for name, values in transformation.of_labelled(examples).items()
        }
        besides = tf.io.parse_example(examples, specs) if specs else {}
        sample = examples[:: tf.maximum(tf.size(examples) // _SAMPLE_OF_A_BATCH, 1)]
        return rows, {name: raw.to_dense(values) for name, values in besides.items()}, sample

    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    records = tf.data.Dataset.from_tensor_slices(tf.constant(files, tf.string)).flat_map(_records)
    features: dict[str, _Column | _BagColumn] = {}
    labels: list[npt.NDArray[np.generic]] = []
    besides: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    samples: list[npt.NDArray[np.object_]] = []
    parts = records.batch(_READ_BATCH_SIZE).map(prepare, _BATCHES_AT_ONCE, deterministic=True)
    for part, beside, sample in RowProgress("reading").through(parts.as_numpy_iterator(), lambda each: len(each[0][learned])):
        labels.append(part[learned])
        samples.append(sample)
        for name, values in beside.items():
            besides[name].append(values)
        for name, values in part.items():
            if name != learned:
                column = features.get(name) or features.setdefault(
                    name, (_BagColumn if isinstance(values, tuple) else _Column)(values)
                )
                column.append(values)
    return Rows(
        {name: column.to_feature() for name, column in features.items()},
        np.concatenate(labels) if labels else np.empty(0),
        {name: np.concatenate(values) for name, values in besides.items()},
        np.concatenate(samples) if samples else np.empty(0, object),
    )


def _to_rows(values: tf.Tensor | tf.SparseTensor, num_rows: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Rows of a feature, [N, values]; of a bag, all values, and how many each row has."""
    if not isinstance(values, tf.SparseTensor):
        return tf.reshape(values, [num_rows, -1])
    ragged = tf.RaggedTensor.from_sparse(values)
    return ragged.values, ragged.row_lengths()


def read_labels(patterns: Sequence[str], transform_output: tft.TFTransformOutput, label: str) -> npt.NDArray[np.generic]:
    """The labels alone, as they are in the rows, [N], with missing values where rows have none.

    Args:
      patterns: file patterns of TFRecord files, gzipped where the name ends in .gz.
      transform_output: the transform graph.
      label: the label's name.
    """
    needed = {label: raw.optional(transform_output.raw_feature_spec()[label])}
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    records = tf.data.Dataset.from_tensor_slices(tf.constant(files, tf.string)).flat_map(_records)
    parts = records.batch(_READ_BATCH_SIZE).map(lambda examples: raw.to_dense(tf.io.parse_example(examples, needed)[label]))
    values = list(parts.as_numpy_iterator())
    return np.concatenate(values) if values else np.empty(0)


class _Column:
    """Values that come in parts, held once: in memory that grows in place and becomes a variable as it is.

    Args:
      like: an array [N, values] with the dtype and the width of the column.
    """

    def __init__(self, like: npt.NDArray[np.generic]) -> None:
        self._dtype, self._shape = like.dtype, (-1, *like.shape[1:])
        self._size = 0
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def append(self, values: npt.NDArray[np.generic]) -> None:
        """Adds rows."""
        end = self._size + values.nbytes
        if end > len(self._memory):
            # Pages that nothing has been written to take no memory.
            self._memory.resize(2 * end)
        self._memory[self._size : end] = values.tobytes()
        self._size = end

    def to_feature(self) -> tf.Variable:
        """All rows, [N, values]. No more can be added."""
        array = np.frombuffer(self._memory, self._dtype, self._size // self._dtype.itemsize).reshape(self._shape)
        try:
            tensor = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
        except BufferError:  # bfloat16, which numpy cannot hand on
            tensor = tf.constant(array)
        with tf.device("CPU"):
            return tf.Variable(tensor, trainable=False)


class _BagColumn:
    """The same for rows with any number of values.

    Args:
      like: values [M], with the dtype of the column, and how many each row has, [N].
    """

    def __init__(self, like: tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]) -> None:
        self._values, self._row_splits = map(_Column, like)
        self._row_splits.append(np.zeros(1, np.int64))
        self._num_values = 0

    def append(self, rows: tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]) -> None:
        """Adds rows."""
        values, lengths = rows
        self._values.append(values)
        self._row_splits.append(self._num_values + np.cumsum(lengths))
        self._num_values += len(values)

    def to_feature(self) -> Bag:
        """All rows. No more can be added."""
        return Bag(self._values.to_feature(), self._row_splits.to_feature())


def check_dense(spec: dict[str, object], label: str) -> None:
    """Checks that every feature but the label has a fixed shape and a type that the model can take.

    Raises:
      ConfigError: a feature has another shape or type.
    """
    for name, feature in spec.items():
        if name != label and (not isinstance(feature, tf.io.FixedLenFeature) or feature.dtype == tf.string):
            raise ConfigError(
                f"Your own preprocessing_fn returned the feature {name!r}, which the model cannot take.",
                where="preprocessing.preprocessing_fn",
                expected="dense numeric tensors, [N] or [N, values]",
                seen=f"{type(feature).__name__} of {feature.dtype.name}",  # type: ignore[attr-defined]
                fix="Make tensors dense with tf.sparse.to_dense, and strings numbers with tft.compute_and_apply_vocabulary.",
            )


def batches(
    features: Features,
    labels: npt.NDArray[np.float32],
    indices: npt.NDArray[np.int64],
    batch_size: int,
    shuffle_seed: int | None,
    weights: npt.NDArray[np.float32] | None = None,
    skipped: int = 0,
) -> tf.data.Dataset:
    """Batches of (features, labels), or of (features, labels, weights), prefetched.

    Args:
      features: the features of all rows.
      labels: the encoded labels of all rows, [N].
      indices: the rows to take.
      batch_size: rows a batch; the last one of an epoch may be smaller.
      shuffle_seed: makes epoch after epoch without end, each in an order of its own, the same for the same seed. None: one
        epoch in the order of the indices.
      weights: those of all rows, [N]; None where all count the same.
      skipped: with a seed, how many batches to leave out from the beginning.
    """
    rows, targets = tf.constant(indices), [tf.constant(each) for each in (labels, weights) if each is not None]

    @_as_written
    def in_order(order: tf.Tensor) -> tf.data.Dataset:
        @_as_written
        def batch(start: tf.Tensor) -> tuple[dict[str, tf.Tensor] | tf.Tensor, ...]:
            chosen = order[start : start + batch_size]
            taken = {name: take(feature, chosen) for name, feature in features.items()}
            return taken, *(tf.gather(each, chosen) for each in targets)

        return tf.data.Dataset.range(0, len(indices), batch_size).map(batch, num_parallel_calls=tf.data.AUTOTUNE)

    @_as_written
    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        # Dataset.shuffle holds an object for each row: at two million rows 400 MB, and two seconds before the first batch.
        return in_order(tf.random.experimental.stateless_shuffle(rows, tf.stack([shuffle_seed, epoch])))

    if shuffle_seed is None:
        dataset = in_order(rows)
    else:
        epochs, rest = divmod(skipped, -(-len(indices) // batch_size))
        dataset = tf.data.Dataset.counter(epochs).flat_map(shuffled).skip(rest)
    options = tf.data.Options()
    # A strategy would divide the files of a dataset among replicas, and there are none.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _records(path: tf.Tensor) -> tf.data.Dataset:
    is_compressed = tf.strings.regex_full_match(path, r".*\.gz")
    return tf.data.TFRecordDataset(path, tf.where(is_compressed, "GZIP", ""))
