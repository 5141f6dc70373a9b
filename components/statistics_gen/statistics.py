"""TFDV's statistics, computed without Beam."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators import basic_stats_generator
from tensorflow_data_validation.statistics.generators.stats_generator import CombinerStatsGenerator
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_data_validation.types import FeaturePath
from tensorflow_data_validation.utils.variance_util import MeanVarAccumulator
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx_bsl.sketches import QuantilesSketch

from components.statistics_gen.top_k import ExactTopK, ValueCounts

Accumulators = list[Any]
"""An accumulator for each generator."""

STATES = (
    FeaturePath,
    QuantilesSketch,
    MeanVarAccumulator,
    ValueCounts,
    basic_stats_generator._BasicAcctype,
    basic_stats_generator._PartialBasicStats,
    basic_stats_generator._PartialBytesStats,
    basic_stats_generator._PartialCommonStats,
    basic_stats_generator._PartialNumericStats,
    basic_stats_generator._PartialStringStats,
    basic_stats_generator._PresenceAndValencyStats,
)
"""The classes of which accumulators are made."""


def compute_statistics(batches: Iterable[pa.RecordBatch]) -> DatasetFeatureStatisticsList:
    """Computes what `tfdv.GenerateStatistics` computes by default.

    Args:
      batches: columns of lists, as tfx_bsl decodes tf.Examples. No batch is kept when the next one is read.

    Returns:
      Statistics of one data set, without features if there are no rows.
    """
    return merge([accumulate(batches)])


def accumulate(batches: Iterable[pa.RecordBatch]) -> Accumulators:
    """The accumulators of some of the rows, from batches as in `compute_statistics`."""
    generators = _generators()
    accumulators = [generator.create_accumulator() for generator in generators]
    for batch in batches:
        for position, generator in enumerate(generators):
            accumulators[position] = generator.add_input(accumulators[position], batch)
    return [generator.compact(accumulator) for generator, accumulator in zip(generators, accumulators, strict=True)]


def merge(parts: Sequence[Accumulators]) -> DatasetFeatureStatisticsList:
    """The statistics of several parts together, as `compute_statistics` returns them.

    Args:
      parts: the accumulators of each part, at least one. They must not be used again.
    """
    generators = _generators()
    by_generator = zip(generators, zip(*parts, strict=True), strict=True)
    merged = [generator.merge_accumulators(accumulators) for generator, accumulators in by_generator]
    return stats_impl.extract_statistics_output(merged, generators)


def _generators() -> list[CombinerStatsGenerator]:
    options = StatsOptions()
    # The only default generator that needs Beam counts values; ExactTopK takes its place.
    generators = [
        generator for generator in stats_impl.get_generators(options) if isinstance(generator, CombinerStatsGenerator)
    ]
    generators.append(ExactTopK(options))
    for generator in generators:
        generator.setup()
    return generators
