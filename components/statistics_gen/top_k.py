"""The most frequent values of string columns and the number of different ones, counted exactly as batches arrive."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from tensorflow_data_validation.arrow import arrow_util
from tensorflow_data_validation.statistics.generators.stats_generator import CombinerStatsGenerator
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_data_validation.types import FeaturePath
from tensorflow_data_validation.utils.top_k_uniques_stats_util import FeatureValueCount, make_feature_stats_proto_topk_uniques
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics
from tfx_bsl.arrow import array_util

# The number of counts that may wait before those of equal values are added up.
_MAX_WAITING = 1 << 20


class ValueCounts:
    """How often each value of one column occurs."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._waiting = 0

    def add(self, values: pa.Array) -> None:
        """Counts the values of an array (binary, without nulls)."""
        counted = values.value_counts()
        self._append(pa.table({"value": counted.field("values").cast(pa.large_binary()), "count": counted.field("counts")}))

    def merge(self, other: ValueCounts) -> None:
        """Adds the counts of another."""
        for table in other._tables:
            self._append(table)

    def result(self) -> pa.Table:
        """The counts: `value` (large_binary, each once) and `count` (int64), in no order."""
        self._compact()
        return self._tables[0]

    def _append(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._waiting += table.num_rows
        if self._waiting > _MAX_WAITING:
            self._compact()

    def _compact(self) -> None:
        if len(self._tables) > 1:
            summed = pa.concat_tables(self._tables).group_by("value").aggregate([("count", "sum")])
            self._tables = [summed.rename_columns({"value": "value", "count_sum": "count"})]
        self._waiting = 0


Accumulator = dict[FeaturePath, ValueCounts]


class ExactTopK(CombinerStatsGenerator):
    """TFDV's TopKUniquesStatsGenerator as a combiner, which can be fed batches outside of Beam.

    TFDV's own combiner for the same statistics estimates them with sketches; this one is exact. It supports neither a schema
    nor weights.

    Args:
      options: the number of values and histogram buckets in the result.
    """

    def __init__(self, options: StatsOptions) -> None:
        super().__init__("ExactTopK")
        self._options = options

    def create_accumulator(self) -> Accumulator:
        """An accumulator without counts."""
        return {}

    def add_input(self, accumulator: Accumulator, input_record_batch: pa.RecordBatch) -> Accumulator:
        """Counts the values of every string column."""
        arrays = arrow_util.enumerate_arrays(input_record_batch, example_weight_map=None, enumerate_leaves_only=True)
        for path, array, _ in arrays:
            values, _ = array_util.flatten_nested(array)
            if len(values) and (pa.types.is_large_binary(values.type) or pa.types.is_binary(values.type)):
                accumulator.setdefault(path, ValueCounts()).add(values)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        """Adds counts up."""
        merged: Accumulator = {}
        for accumulator in accumulators:
            for path, counts in accumulator.items():
                merged.setdefault(path, ValueCounts()).merge(counts)
        return merged

    def extract_output(self, accumulator: Accumulator) -> DatasetFeatureStatistics:
        """The statistics, with ties broken towards the larger value, as TFDV does."""
        options = self._options
        wanted = max(options.num_top_values, options.num_rank_histogram_buckets)
        result = DatasetFeatureStatistics()
        for path, value_counts in accumulator.items():
            counts = value_counts.result()
            top = counts.sort_by([("count", "descending"), ("value", "descending")]).slice(0, wanted).to_pylist()
            result.features.append(
                make_feature_stats_proto_topk_uniques(
                    feature_path=path,
                    num_top_values=options.num_top_values,
                    num_rank_histogram_buckets=options.num_rank_histogram_buckets,
                    num_unique=counts.num_rows,
                    value_count_list=[FeatureValueCount(row["value"], row["count"]) for row in top],
                    frequency_threshold=options.frequency_threshold,
                )
            )
        return result
