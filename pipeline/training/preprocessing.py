"""The preprocessing graph, from raw columns to the model's features: analysed by tf.Transform and served with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
    Time,
    Vector,
    label_feature,
)
from pipeline.training.settings import TransformSettings

NUMERIC = "numeric"
CATEGORICAL = "categorical"

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
    plan = FeaturePlan.of(settings, dtypes, settings.lists)
    groups = {NUMERIC: _numeric(plan, inputs), CATEGORICAL: _categorical(plan, inputs)}
    features = {name: tf.concat(parts, axis=1) for name, parts in groups.items() if parts}
    bags = {bag_name(position): _bag(raw.Values.of(inputs[bag.name]), bag) for position, bag in enumerate(plan.bags)}
    return {label_feature(label): inputs[label], **features, **bags}


def bag_name(position: int) -> str:
    """The name of the transformed feature of the plan's bag at a position."""
    return f"bag_{position}"


def _numeric(plan: FeaturePlan, inputs: Columns) -> list[tf.Tensor]:
    parts = [_cyclic_parts(inputs[time.name], time) for time in plan.time]
    vectors = [part for vector in plan.vectors for part in _vector(inputs[vector.name], vector)]
    return (_standardise(plan, inputs) if plan.num_standardised else []) + parts + vectors


def _categorical(plan: FeaturePlan, inputs: Columns) -> list[tf.Tensor]:
    indices = [_look_up(raw.to_dense(inputs[column.name]), column)[:, tf.newaxis] for column in plan.categorical]
    return indices + _bucketise({column.name: raw.to_dense(inputs[column.name]) for column in plan.bucketised}, plan.bucketised)


def _bag(values: raw.Values, bag: Bag) -> tf.SparseTensor:
    """An index, from 1, for each value of a row, or for each word and pair of words of its text."""
    if isinstance(bag, Text):
        words, rows = _hash_words(values.values, bag.hash_buckets)
        return raw.Values(words, tf.gather(values.rows, rows), values.num_rows).to_rows(words)
    if isinstance(bag, Categorical):
        return values.to_rows(_look_up(values.values, bag))
    column = {bag.name: values.values}
    return values.to_rows(tf.reshape(_bucketise(column, [bag])[0], [-1]))


def _hash_words(texts: tf.Tensor, buckets: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The words of each text and its pairs of neighbouring words, in lower case and hashed, from 1, with the text of each."""
    spaced = tf.strings.regex_replace(tf.strings.lower(texts, encoding="utf-8"), _NO_WORD, " ")
    # Scripts without spaces between words: each character is one.
    words = tf.strings.split(tf.strings.regex_replace(spaced, _CHARACTER_WORD, r" \0 "))[:, :MAX_WORDS]
    phrases = tf.strings.ngrams(words, (1, 2))
    return 1 + tf.strings.to_hash_bucket_fast(phrases.flat_values, buckets), phrases.value_rowids()


def _standardise(plan: FeaturePlan, inputs: Columns) -> list[tf.Tensor]:
    """Values less their mean, by their standard deviation, the mean where missing; and indicators of the missing ones."""
    numbers = [raw.to_matrix([inputs[name] for name in plan.numeric])] if plan.numeric else []
    standardised, missing = _z_scores(tf.concat([*numbers, *(_summary(inputs[name]) for name in plan.pooled)], axis=1))
    return [standardised, tf.cast(missing, tf.float32)]


def _summary(column: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    return tf.reshape(raw.Values.of(column).summary(), [-1, POOLED_NUMBERS])


def _vector(column: tf.Tensor | tf.SparseTensor, vector: Vector) -> list[tf.Tensor]:
    standardised, missing = _z_scores(raw.to_vector(column, vector.size))
    return [standardised, tf.reduce_mean(tf.cast(missing, tf.float32), axis=1, keepdims=True)]


def _z_scores(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Standardised values, [N, columns] float32, 0 where missing, and which are missing, of [N, columns] float64."""
    # Together and elementwise: each analyzer costs a fixed time in Beam. In 64 bits, since the order in which Beam adds up
    # batches is not fixed, and in 32 bits the sums depend on it.
    mean = tft.mean(values, reduce_instance_dims=False)
    deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
    missing = raw.is_missing(values)
    standardised = tf.where(missing, tf.zeros_like(values), tf.math.divide_no_nan(values - mean, deviation))
    return tf.cast(standardised, tf.float32), missing


def _bucketise(columns: Mapping[str, tf.Tensor], bucketised: Sequence[Bucketised]) -> list[tf.Tensor]:
    """Indices of quantiles, 0 for missing; one analyzer for all columns with the same number of buckets."""
    indices: dict[str, tf.Tensor] = {}
    for buckets in sorted({column.buckets for column in bucketised}):
        names = [column.name for column in bucketised if column.buckets == buckets]
        values = _stack(columns, names)
        missing = raw.is_missing(values)
        finite = tf.where(missing, tf.constant(math.nan, tf.float64), values)
        # TFT's analyzer fails for a column without any value.
        filler = tf.where(tf.reduce_all(missing, axis=0), tf.constant(0, tf.float64), tf.constant(math.nan, tf.float64))
        finite = tf.concat([finite, filler[tf.newaxis]], axis=0)
        boundaries = tft.quantiles(finite, buckets, epsilon=1 / (100 * buckets), reduce_instance_dims=False)
        below = tf.cast(values, tf.float32)[:, :, tf.newaxis] >= boundaries[tf.newaxis]
        index = tf.where(missing, tf.zeros_like(missing, tf.int64), 1 + tf.reduce_sum(tf.cast(below, tf.int64), axis=2))
        indices.update({name: index[:, position : position + 1] for position, name in enumerate(names)})
    return [indices[column.name] for column in bucketised]


def _look_up(values: tf.Tensor, column: Categorical) -> tf.Tensor:
    missing = raw.is_missing(values)
    vocabulary = tft.vocabulary(
        tf.boolean_mask(values, tf.logical_not(missing)), top_k=column.vocabulary, vocab_filename=column.vocabulary_file
    )
    index = 1 + tft.apply_vocabulary(values, vocabulary, num_oov_buckets=column.oov_buckets)
    return tf.where(missing, tf.zeros_like(index), index)


def _cyclic_parts(column: tf.Tensor | tf.SparseTensor, time: Time) -> tf.Tensor:
    """The parts of a time side by side, [N, 6 * parts] float32; of a list, their means."""
    if not time.is_list:
        seconds = raw.to_dense(column)
        return tf.concat([_cyclic(seconds, part) for part in time.parts], axis=1)
    times = raw.Values.of(column)
    waves = times.mean(tf.concat([_cyclic(times.values, part) for part in time.parts], axis=1))
    return tf.reshape(waves, [-1, WAVES_OF_A_PART * len(time.parts)])


def _cyclic(seconds: tf.Tensor, part: str) -> tf.Tensor:
    """Sines and cosines of the harmonics of a cycle, [N, 6] float32; all are 0 for a missing time."""
    position, period = _position(seconds, part)
    angle = tf.cast(position, tf.float64)[:, tf.newaxis] * (2 * math.pi / period) * tf.constant([_HARMONICS], tf.float64)
    waves = tf.concat([tf.sin(angle), tf.cos(angle)], axis=1)
    return tf.cast(tf.where(raw.is_missing(seconds)[:, tf.newaxis], tf.zeros_like(waves), waves), tf.float32)


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


def _stack(columns: Mapping[str, tf.Tensor], names: Sequence[str]) -> tf.Tensor:
    """Numeric columns side by side, [N, names] float64, NaN where missing."""
    missing = tf.constant(math.nan, tf.float64)
    return tf.stack(
        [tf.where(raw.is_missing(columns[name]), missing, tf.cast(columns[name], tf.float64)) for name in names], axis=1
    )
