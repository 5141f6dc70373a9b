"""Transformed rows in memory, and in batches for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.errors import ConfigError
from pipeline.modules import raw

_READ_BATCH_SIZE = 16_384


@dataclass(frozen=True)
class Rows:
    """Rows as columns.

    Attributes:
      features: by name, [N, values].
      labels: [N]; bytes, integers or floats; `raw.MISSING` where there is none.
    """

    features: dict[str, npt.NDArray[np.generic]]
    labels: npt.NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> Rows:
        """Some of the rows."""
        return Rows({name: values[indices] for name, values in self.features.items()}, self.labels[indices])

    def split(self, fraction: float, seed: int) -> tuple[Rows, Rows]:
        """Divides the rows at random, the same way for the same seed and number of rows: the others, and this fraction."""
        order = np.random.default_rng(seed).permutation(len(self))
        num_held_back = round(fraction * len(self))
        return self.take(np.sort(order[num_held_back:])), self.take(np.sort(order[:num_held_back]))


def read(patterns: Sequence[str], transform_output: tft.TFTransformOutput, label: str) -> Rows:
    """Reads all transformed examples into memory.

    Args:
      patterns: of TFRecord files, gzipped where the name ends in .gz.
      transform_output: says what the examples hold.
      label: the label's name.

    Raises:
      ConfigError: a person's own preprocessing_fn returned features that cannot be batched.
    """
    spec = transform_output.transformed_feature_spec()
    check_dense(spec, label)
    batches: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in spec}
    for examples in _record_batches(patterns):
        parsed = tf.io.parse_example(examples, spec)
        for name, values in parsed.items():
            batches[name].append((raw.to_dense(values) if name == label else tf.reshape(values, [len(values), -1])).numpy())
    # One at a time, each freed before the next: twice the largest column is held at the most, not twice all of them.
    columns = {name: np.concatenate(batches.pop(name)) if batches[name] else np.empty(0) for name in spec}
    labels = columns.pop(label)
    return Rows(columns, labels)


def check_dense(spec: dict[str, object], label: str) -> None:
    """Checks that every feature but the label has a fixed shape and a type that the model can take.

    Raises:
      ConfigError: one has not.
    """
    for name, feature in spec.items():
        if name != label and (not isinstance(feature, tf.io.FixedLenFeature) or feature.dtype == tf.string):
            raise ConfigError(
                f"Your own preprocessing_fn returned the feature {name!r}, which the model cannot take.",
                where="preprocessing.preprocessing_fn",
                expected="dense numeric tensors, [N] or [N, values]",
                seen=f"{type(feature).__name__} of {feature.dtype.name}",  # type: ignore[attr-defined]
                fix="tf.sparse.to_dense makes a tensor dense, tft.compute_and_apply_vocabulary turns strings into numbers.",
            )


def batches(rows: Rows, labels: npt.NDArray[np.float32], batch_size: int, shuffle_seed: int | None) -> tf.data.Dataset:
    """Batches of (features, labels), prefetched.

    Args:
      rows: their features.
      labels: encoded, [N].
      batch_size: rows a batch; the last one may be smaller.
      shuffle_seed: shuffles all rows anew each epoch, the same way for the same seed. None: keeps their order.
    """
    tensors = {name: tf.convert_to_tensor(values) for name, values in rows.features.items()}, tf.convert_to_tensor(labels)
    indices = tf.data.Dataset.range(len(rows))
    if shuffle_seed is not None:
        indices = indices.shuffle(len(rows), seed=shuffle_seed, reshuffle_each_iteration=True)
    gathered = indices.batch(batch_size).map(
        lambda batch: tf.nest.map_structure(lambda tensor: tf.gather(tensor, batch), tensors),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    options = tf.data.Options()
    # A strategy would divide the files of a dataset among replicas, and there are none.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return gathered.with_options(options).prefetch(tf.data.AUTOTUNE)


def _record_batches(patterns: Sequence[str]) -> Iterator[tf.Tensor]:
    for path in sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern)):
        compression = "GZIP" if path.endswith(".gz") else ""
        yield from tf.data.TFRecordDataset(path, compression).batch(_READ_BATCH_SIZE).prefetch(1)
