"""From raw columns to the model's features, in the Trainer and in the model that is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import tensorflow as tf
import tensorflow_transform as tft

from pipeline.contracts.schema import Schema
from pipeline.training import raw
from pipeline.training.analysed import Analysed
from pipeline.training.features import FeaturePlan, label_feature
from pipeline.training.model import feature_plan
from pipeline.training.preprocessing import derived_features
from pipeline.training.settings import TrainerSettings

Features = dict[str, tf.Tensor | tf.SparseTensor]


class Transformation(Protocol):
    """Computes what the transform graph computes.

    Attributes:
      columns: the raw columns that the model needs, sorted.
      resource: what the computation refers to, to be saved with it.
    """

    columns: tuple[str, ...]
    resource: tf.Module

    def of_labelled(self, examples: tf.Tensor) -> Features:
        """The features of serialized tf.Examples to learn from, [N] string, and their label as `label_feature` calls it.

        Where the schema fixes the shape of a column, every row must have a value.
        """

    def of_examples(self, examples: tf.Tensor) -> Features:
        """The features of serialized tf.Examples, [N] string."""

    def of_columns(self, columns: Mapping[str, tf.Tensor]) -> Features:
        """The features of a tensor for each raw column, as `pipeline.contracts.model` describes them."""


def transformation(settings: TrainerSettings, transform_output: tft.TFTransformOutput) -> Transformation:
    """The transformation that belongs to a transform graph.

    Args:
      settings: the Trainer's settings.
      transform_output: the transform graph that these settings led to.
    """
    if settings.preprocessing_fn is not None:
        return GraphTransformation(transform_output, settings.label)
    return DerivedTransformation(feature_plan(settings, transform_output), transform_output, settings.label)


class GraphTransformation:
    """Runs the transform graph: the user's own preprocessing_fn, which may need any raw column."""

    def __init__(self, transform_output: tft.TFTransformOutput, label: str) -> None:
        self._specs = transform_output.raw_feature_spec()
        self.columns = tuple(sorted(set(self._specs) - {label}))
        self.resource = transform_output.transform_features_layer()

    def of_labelled(self, examples: tf.Tensor) -> Features:
        """As `Transformation` describes it."""
        return self._transform(tf.io.parse_example(examples, self._specs))

    def of_examples(self, examples: tf.Tensor) -> Features:
        """As `Transformation` describes it."""
        return self._transform(tf.io.parse_example(examples, _optional(self._specs, self.columns)))

    def of_columns(self, columns: Mapping[str, tf.Tensor]) -> Features:
        """As `Transformation` describes it."""
        return self._transform({name: raw.to_raw(tensor, self._specs[name]) for name, tensor in columns.items()})

    def _transform(self, columns: Features) -> Features:
        features: Features = self.resource(columns)
        return features


class DerivedTransformation:
    """Computes the features of a plan in a fraction of the transform graph's operations, columns of a kind together."""

    def __init__(self, plan: FeaturePlan, transform_output: tft.TFTransformOutput, label: str) -> None:
        self.columns = plan.names
        self._plan, self._label = plan, label
        self._specs = transform_output.raw_feature_spec()
        self._lists = Schema.of(transform_output.raw_metadata.schema).lists
        # Of a text every value counts.
        self._whole = {*self._lists, *(bag.name for bag in plan.bags)}
        self.resource = self._analysed = Analysed(plan, transform_output)

    def of_labelled(self, examples: tf.Tensor) -> Features:
        """As `Transformation` describes it."""
        needed = {name: self._specs[name] for name in (*self.columns, self._label)}
        columns = raw.parse_first(examples, needed, self._whole)
        return {label_feature(self._label): columns[self._label], **self._features(columns)}

    def of_examples(self, examples: tf.Tensor) -> Features:
        """As `Transformation` describes it."""
        return self._features(raw.parse_first(examples, _optional(self._specs, self.columns), self._whole))

    def of_columns(self, columns: Mapping[str, tf.Tensor]) -> Features:
        """As `Transformation` describes it."""
        return self._features(
            {name: raw.to_raw(tensor, self._specs[name]) if name in self._lists else tensor for name, tensor in columns.items()}
        )

    def _features(self, columns: Mapping[str, tf.Tensor | tf.SparseTensor]) -> Features:
        return derived_features(self._plan, columns, self._analysed)


def _optional(
    specs: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature], columns: Collection[str]
) -> dict[str, tf.io.VarLenFeature | tf.io.FixedLenFeature]:
    return {name: raw.optional(specs[name]) for name in columns}
