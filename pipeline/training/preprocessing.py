"""The preprocessing graph, from raw columns to the model's features: analysed by tf.Transform and served with the model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.errors import ConfigError
from pipeline.training import raw
from pipeline.training.features import (
    POOLED_NUMBERS,
    Bag,
    Bucketised,
    Categorical,
    FeaturePlan,
    Text,
    label_feature,
)
from pipeline.training.settings import TransformSettings
from pipeline.training.vocabularies import PREFIX, key_of

NUMERIC = "numeric"
CATEGORICAL = "categorical"

ANALYSED = "analysed_"
"""How the names of those operations of the transform graph begin that hold what the derived preprocessing found in the data.
The key of `Analysis` follows."""

_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_DAYS_IN_GREGORIAN_CYCLE = 146_097
_YEAR_LENGTH = 365.2425

# One sine and cosine would put the days of a week on a circle, where Saturday is half way to Monday whatever the label does;
# with three any function of seven days is a weighted sum of them.
_HARMONICS = (1, 2, 3)
WAVES_OF_A_PART = 2 * len(_HARMONICS)
"""How many numbers become of a part of a time: its sines, then its cosines."""

MAX_WORDS = 512
"""The words at the start of a text that count."""

# RE2's classes of characters, which TensorFlow Serving has, too.
_NO_WORD = r"[^\pL\pM\pN]+"
_CHARACTER_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"

Columns = Mapping[str, tf.Tensor | tf.SparseTensor]


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor | tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Transforms a batch of raw columns.

    Args:
      inputs: the raw columns, the label among them.
      custom_config: that of `pipeline.training.settings.TransformSettings`.

    Returns:
      The label as it came and, unless the user's own function decides otherwise, the features that `FeaturePlan` describes:
      `numeric`, float32 [N, columns], `categorical`, int64 [N, columns], and sparse int64 for each bag; a group without
      columns is left out. A label that has the name of one of these is called as `label_feature` says.

    Raises:
      ConfigError: the configuration does not suit the columns.
    """
    settings = TransformSettings.model_validate(custom_config)
    label, own = settings.label, settings.preprocessing_fn
    if own is not None:
        outputs = own.load()(inputs)
        if not isinstance(outputs, dict):
            raise ConfigError(
                "Your own preprocessing_fn must return its outputs by name.",
                where=f"{own.file}:{own.function}",
                expected="a dict of tensors",
                seen=type(outputs).__name__,
            )
        return {label_feature(label): inputs[label], **outputs}
    dtypes = {name: raw.dtype_name(tensor.dtype) for name, tensor in inputs.items()}
    features = derived_features(FeaturePlan.of(settings, dtypes, settings.lists), inputs, _Analyzers())
    return {label_feature(label): inputs[label], **features}


class Analysis(Protocol):
    """What features depend on besides their own row. Keys tell the values of a plan apart."""

    def moments(self, key: str, values: tf.Tensor) -> tf.Tensor | npt.NDArray[np.float64]:
        """Means and standard deviations, [2, columns] float64, of [N, columns] float64, NaN where missing."""

    def boundaries(self, key: str, values: tf.Tensor, buckets: int) -> tf.Tensor | npt.NDArray[np.float32]:
        """Boundaries between buckets of about as many rows, [columns, buckets - 1] float32, of values as in `moments`."""

    def look_up(self, key: str, values: Sequence[tf.Tensor], columns: Sequence[Categorical]) -> tf.Tensor:
        """Indices, [N, columns] int64, of a tensor [N] for each column: the vocabulary from 0, then the OOV buckets.

        Whatever stands for a missing value has any index.
        """


def derived_features(plan: FeaturePlan, inputs: Columns, analysis: Analysis) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """The features that a plan describes.

    Args:
      plan: how each column is prepared.
      inputs: the plan's columns, as tf.Transform passes them or as `raw.parse_first` returns them.
      analysis: computes what the features need of all rows, or knows it already.
    """
    groups = {NUMERIC: _numeric(plan, inputs, analysis), CATEGORICAL: _categorical(plan, inputs, analysis)}
    features: dict[str, tf.Tensor | tf.SparseTensor] = {
        name: tf.concat(parts, axis=1) for name, parts in groups.items() if parts
    }
    for position, bag in enumerate(plan.bags):
        name = bag_name(position)
        features[name] = _bag(name, raw.Values.of(inputs[bag.name]), bag, analysis)
    return features


class _Analyzers:
    """TFT's analyzers. What they find has a name, for those who do not run the transform graph."""

    def moments(self, key: str, values: tf.Tensor) -> tf.Tensor:
        # Elementwise: each analyzer costs a fixed time in Beam. In 64 bits, since the order in which Beam adds up batches is
        # not fixed, and in 32 bits the sums depend on it.
        mean = tft.mean(values, reduce_instance_dims=False)
        moments = tf.stack([mean, tf.sqrt(tft.var(values, reduce_instance_dims=False))])
        # Of a column without any value beside others that have some, TFT finds 0 / 0.
        return tf.where(tf.math.is_nan(moments), tf.zeros_like(moments), moments, name=f"{ANALYSED}{key}")

    def boundaries(self, key: str, values: tf.Tensor, buckets: int) -> tf.Tensor:
        # TFT's analyzer fails for a column without any value.
        is_empty = tf.reduce_all(raw.is_missing(values), axis=0)
        filler = tf.where(is_empty, tf.constant(0, tf.float64), tf.constant(math.nan, tf.float64))
        finite = tf.concat([values, filler[tf.newaxis]], axis=0)
        boundaries = tft.quantiles(finite, buckets, epsilon=1 / (100 * buckets), reduce_instance_dims=False)
        return tf.identity(boundaries, name=f"{ANALYSED}{key}")

    def look_up(self, key: str, values: Sequence[tf.Tensor], columns: Sequence[Categorical]) -> tf.Tensor:
        # One vocabulary for all columns of which as many values count: each analyzer and each table is traced again and again.
        texts, present = raw.to_texts(values), tf.logical_not(raw.are_missing(values))
        parts, order = [], []
        for most in sorted({column.vocabulary for column in columns}):
            positions = [position for position, column in enumerate(columns) if column.vocabulary == most]
            group = [columns[position] for position in positions]
            of_group = tf.gather(texts, positions, axis=1)
            keys = tf.constant([column.key for column in group])
            lines = tf.strings.join([tf.broadcast_to(keys, tf.shape(of_group)), of_group], " ")
            vocabulary = tft.vocabulary(
                tf.boolean_mask(lines, tf.gather(present, positions, axis=1)),
                # The most frequent of all, which is also one of its column.
                top_k=1,
                coverage_top_k=most,
                key_fn=key_of,
                vocab_filename=f"{PREFIX}{key}_{most}",
            )
            line = tft.apply_vocabulary(lines, vocabulary)
            ranks, sizes = _ranks(vocabulary, keys)
            unknown = sizes + out_of_vocabulary(of_group, group)
            parts.append(tf.where(line < 0, unknown, tf.gather(ranks, tf.maximum(line, 0))))
            order += positions
        return raw.in_order(parts, order)


def _ranks(vocabulary: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The place of each line of vocabularies among those with its key, [lines], and how many lines each key has, [keys]."""
    lines = tf.strings.split(tf.io.read_file(vocabulary), "\n")
    # Any byte may follow, also some that are no characters.
    found, group, counts = tf.unique_with_counts(tf.strings.regex_replace(lines, r" \C*", ""), tf.int64)
    together = tf.argsort(group, stable=True)
    starts = tf.repeat(tf.cumsum(counts, exclusive=True), counts)
    ranks = tf.scatter_nd(together[:, tf.newaxis], tf.range(tf.size(group, tf.int64)) - starts, tf.shape(group, tf.int32))
    sizes = tf.reduce_sum(tf.where(tf.equal(keys[:, tf.newaxis], found), counts, tf.constant(0, tf.int64)), axis=1)
    return ranks, sizes


def out_of_vocabulary(texts: tf.Tensor, columns: Sequence[Categorical]) -> tf.Tensor:
    """The out-of-vocabulary bucket of each text, [N, columns] int64 or what can be broadcast to it."""
    num_buckets = [column.oov_buckets for column in columns]
    buckets = tf.constant(0, tf.int64)
    for number in sorted(set(num_buckets) - {1}):
        hashes = tf.strings.to_hash_bucket_fast(texts, number)
        buckets = tf.where([each == number for each in num_buckets], hashes, buckets)
    return buckets


def bag_name(position: int) -> str:
    """The name of the transformed feature of the plan's bag at a position."""
    return f"bag_{position}"


def _numeric(plan: FeaturePlan, inputs: Columns, analysis: Analysis) -> list[tf.Tensor]:
    vectors = [
        part
        for position, vector in enumerate(plan.vectors)
        for part in _vector(f"vector_{position}", raw.to_vector(inputs[vector.name], vector.size), analysis)
    ]
    return (_standardise(plan, inputs, analysis) if plan.num_standardised else []) + _cycles(plan, inputs) + vectors


def _categorical(plan: FeaturePlan, inputs: Columns, analysis: Analysis) -> list[tf.Tensor]:
    indices = []
    if plan.categorical:
        values = [raw.to_dense(inputs[column.name]) for column in plan.categorical]
        indices.append(_indices(CATEGORICAL, values, plan.categorical, analysis))
    if plan.bucketised:
        numbers = raw.to_matrix([inputs[column.name] for column in plan.bucketised])
        indices.append(_bucketise(CATEGORICAL, numbers, plan.bucketised, analysis))
    return indices


def _bag(key: str, values: raw.Values, bag: Bag, analysis: Analysis) -> tf.SparseTensor:
    """An index, from 1, for each value of a row, or for each word and pair of words of its text."""
    if isinstance(bag, Text):
        words, rows = _hash_words(values.values, bag.hash_buckets)
        return raw.Values(words, tf.gather(values.rows, rows), values.num_rows).to_rows(words)
    if isinstance(bag, Categorical):
        return values.to_rows(tf.reshape(_indices(key, [values.values], [bag], analysis), [-1]))
    return values.to_rows(tf.reshape(_bucketise(key, raw.to_matrix([values.values]), [bag], analysis), [-1]))


def _hash_words(texts: tf.Tensor, buckets: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The words of each text and its pairs of neighbouring words, in lower case and hashed, from 1, with the text of each."""
    spaced = tf.strings.regex_replace(tf.strings.lower(texts, encoding="utf-8"), _NO_WORD, " ")
    # Scripts without spaces between words: each character is one.
    words = tf.strings.split(tf.strings.regex_replace(spaced, _CHARACTER_WORD, r" \0 "))[:, :MAX_WORDS]
    phrases = tf.strings.ngrams(words, (1, 2))
    return 1 + tf.strings.to_hash_bucket_fast(phrases.flat_values, buckets), phrases.value_rowids()


def _standardise(plan: FeaturePlan, inputs: Columns, analysis: Analysis) -> list[tf.Tensor]:
    """Values less their mean, by their standard deviation, the mean where missing; and indicators of the missing ones."""
    numbers = [raw.to_matrix([inputs[name] for name in plan.numeric])] if plan.numeric else []
    values = tf.concat([*numbers, *(_summary(inputs[name]) for name in plan.pooled)], axis=1)
    standardised, missing = _z_scores(NUMERIC, values, analysis)
    return [standardised, tf.cast(missing, tf.float32)]


def _summary(column: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return tf.reshape(raw.Values.of(column).summary(), [-1, POOLED_NUMBERS])


def _vector(key: str, values: tf.Tensor, analysis: Analysis) -> list[tf.Tensor]:
    standardised, missing = _z_scores(key, values, analysis)
    return [standardised, tf.reduce_mean(tf.cast(missing, tf.float32), axis=1, keepdims=True)]


def _z_scores(key: str, values: tf.Tensor, analysis: Analysis) -> tuple[tf.Tensor, tf.Tensor]:
    """Standardised values, [N, columns] float32, 0 where missing, and which are missing, of [N, columns] float64."""
    moments = analysis.moments(key, values)
    missing = raw.is_missing(values)
    standardised = tf.where(missing, tf.constant(0, tf.float64), tf.math.divide_no_nan(values - moments[0], moments[1]))
    return tf.cast(standardised, tf.float32), missing


def _bucketise(key: str, values: tf.Tensor, columns: Sequence[Bucketised], analysis: Analysis) -> tf.Tensor:
    """Indices of quantiles, [N, columns] int64, 0 for missing; one analyzer for all columns with the same number of buckets.

    Args:
      key: tells the columns from others.
      values: [N, columns] float64, NaN where missing.
      columns: what the values are of.
      analysis: knows the quantiles.
    """
    parts, order = [], []
    for buckets in sorted({column.buckets for column in columns}):
        positions = [position for position, column in enumerate(columns) if column.buckets == buckets]
        group = values if len(positions) == len(columns) else tf.gather(values, positions, axis=1)
        boundaries = analysis.boundaries(f"{key}_{buckets}", group, buckets)
        below = tf.cast(group, tf.float32)[:, :, tf.newaxis] >= boundaries
        index = 1 + tf.reduce_sum(tf.cast(below, tf.int64), axis=2)
        parts.append(tf.where(raw.is_missing(group), tf.constant(0, tf.int64), index))
        order += positions
    return raw.in_order(parts, order)


def _indices(key: str, values: Sequence[tf.Tensor], columns: Sequence[Categorical], analysis: Analysis) -> tf.Tensor:
    """The vocabularies' indices from 1, 0 for missing, [N, columns] int64, of a tensor [N] for each column."""
    index = 1 + analysis.look_up(key, values, columns)
    return tf.where(raw.are_missing(values), tf.constant(0, tf.int64), index)


def _cycles(plan: FeaturePlan, inputs: Columns) -> list[tf.Tensor]:
    """The parts of all times side by side, [N, 6 * parts] float32 each; neighbours that are prepared alike are in one."""
    cycles = []
    for (is_list, parts), times in itertools.groupby(plan.time, key=lambda time: (time.is_list, time.parts)):
        if is_list:
            cycles += [_mean_cycles(raw.Values.of(inputs[time.name]), parts) for time in times]
        else:
            cycles.append(_cyclic_parts(tf.stack([raw.to_dense(inputs[time.name]) for time in times], axis=1), parts))
    return cycles


def _mean_cycles(times: raw.Values, parts: Sequence[str]) -> tf.Tensor:
    return tf.reshape(times.mean(_cyclic_parts(times.values[:, tf.newaxis], parts)), [-1, WAVES_OF_A_PART * len(parts)])


def _cyclic_parts(seconds: tf.Tensor, parts: Sequence[str]) -> tf.Tensor:
    """The parts of times [N, times], [N, times * 6 * parts] float32."""
    waves = tf.concat([_cyclic(seconds, part) for part in parts], axis=2)
    return tf.reshape(waves, [-1, seconds.shape[1] * WAVES_OF_A_PART * len(parts)])


def _cyclic(seconds: tf.Tensor, part: str) -> tf.Tensor:
    """Sines and cosines of the harmonics of a cycle, [..., 6] float32; all are 0 for a missing time."""
    position, period = _position(seconds, part)
    angle = tf.cast(position, tf.float64)[..., tf.newaxis] * (2 * math.pi / period * tf.constant(_HARMONICS, tf.float64))
    waves = tf.concat([tf.sin(angle), tf.cos(angle)], axis=-1)
    return tf.cast(tf.where(raw.is_missing(seconds)[..., tf.newaxis], tf.constant(0, tf.float64), waves), tf.float32)


def _position(seconds: tf.Tensor, part: str) -> tuple[tf.Tensor, float]:
    """Where in its cycle a time is, in whole units, and how many units the cycle has."""
    days = seconds // _SECONDS["day"]
    if part == "minute_of_hour":
        return seconds // _SECONDS["minute"] % 60, 60
    if part == "hour_of_day":
        return seconds // _SECONDS["hour"] % 24, 24
    if part == "day_of_week":
        return days % 7, 7
    day_of_year, day_of_month = _civil(days)
    return (day_of_year, _YEAR_LENGTH) if part == "day_of_year" else (day_of_month, 31)


def _civil(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Day of the year that starts on 1 March, and day of the month, both from 0, of days since 1970-01-01.

    Howard Hinnant's civil_from_days (https://howardhinnant.github.io/date_algorithms.html): with the leap day last in the
    year, months have lengths that repeat every five months.
    """
    # From 0000-03-01, where a Gregorian cycle of 400 years starts.
    day_of_cycle = (days + 719_468) % _DAYS_IN_GREGORIAN_CYCLE
    leap_days = day_of_cycle // 1460 - day_of_cycle // 36_524 + day_of_cycle // (_DAYS_IN_GREGORIAN_CYCLE - 1)
    year = (day_of_cycle - leap_days) // 365
    day_of_year = day_of_cycle - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153
    return day_of_year, day_of_year - (153 * month + 2) // 5
