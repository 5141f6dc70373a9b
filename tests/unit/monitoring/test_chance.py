"""How far samples differ, beside how far chance alone makes them differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from pipeline.monitoring import chance

COUNTS = st.integers(1, 9).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 500), min_size=size, max_size=size).filter(any) for _ in range(2)])
)
MEASUREMENT = anomalies_pb2.DriftSkewInfo.Measurement


@given(COUNTS)
def test_the_l_infinity_distance_is_that_of_tfdv(counts: tuple[list[int], list[int]]) -> None:
    distance, place = chance.l_infinity(np.array(counts))
    assert distance == pytest.approx(by_tfdv(counts, "infinity_norm"), abs=1e-9)
    shares = [count[place] / sum(count) for count in counts]
    assert abs(shares[0] - shares[1]) == pytest.approx(distance)


@given(COUNTS)
def test_the_jensen_shannon_divergence_is_that_of_tfdv(counts: tuple[list[int], list[int]]) -> None:
    expected = by_tfdv(counts, "jensen_shannon_divergence")
    assert chance.jensen_shannon(np.array(counts)) == pytest.approx(expected, abs=1e-6)


def by_tfdv(counts: tuple[list[int], list[int]], measure: str) -> float:
    """What TFDV's comparator measures between two columns with these counts of values, or of numbers in bins."""
    schema = schema_pb2.Schema()
    feature = schema.feature.add(name="x", type=schema_pb2.BYTES if measure == "infinity_norm" else schema_pb2.FLOAT)
    getattr(feature.skew_comparator, measure).threshold = 0.0
    then, now = (statistics(each, measure) for each in counts)
    found = validate_statistics(then, schema, serving_statistics=now).drift_skew_info
    (measured,) = found[0].skew_measurements
    return float(measured.value)


def statistics(counts: list[int], measure: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    result = statistics_pb2.DatasetFeatureStatisticsList()
    feature = result.datasets.add(num_examples=sum(counts)).features.add()
    feature.path.step.append("x")
    if measure == "infinity_norm":
        feature.type, stats = statistics_pb2.FeatureNameStatistics.STRING, feature.string_stats
        for rank, count in enumerate(counts):
            stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=f"v{rank}", sample_count=count)
    else:
        feature.type, stats = statistics_pb2.FeatureNameStatistics.FLOAT, feature.num_stats
        histogram = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
        for place, count in enumerate(counts):
            histogram.buckets.add(low_value=place, high_value=place + 1, sample_count=count)
    stats.common_stats.num_non_missing = sum(counts)
    return result


@pytest.mark.parametrize("sizes", [(2000, 2000), (20_000, 300)])
@pytest.mark.parametrize("values", [2, 12, 200])
def test_chance_goes_beyond_its_floor_as_seldom_as_is_said(sizes: tuple[int, int], values: int) -> None:
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, values + 1)
    shares /= shares.sum()
    beyond = np.zeros(2)
    for _ in range(300):
        table = np.stack([rng.multinomial(size, shares) for size in sizes])
        distance, _ = chance.l_infinity(table)
        beyond[0] += chance.chance_of_l_infinity(distance, table) < 0.05
        wide = table[:, table.sum(axis=0) * min(sizes) / sum(sizes) >= 10]
        divergence = chance.jensen_shannon(wide)
        beyond[1] += chance.chance_of_jensen_shannon(divergence, wide) < 0.05
    # 15 are expected, of which a Poisson number is above 30 less than once in 5,000 times.
    assert (beyond <= 30).all()
    # The bound on the largest of many differences does not miss what is there.
    assert beyond[1] >= 3


@pytest.mark.parametrize("sizes", [(1_000_000, 500), (10_000, 10_000), (2000, 300)])
def test_a_share_that_is_nearly_all_is_told_as_surely_as_one_that_is_nearly_none(sizes: tuple[int, int]) -> None:
    rows = np.array(sizes)
    few = np.array([rows[0] // 1000, rows[1] // 10])
    difference = float(abs(np.diff(few / rows)[0]))
    chances = [chance.chance_of_share(difference, each, rows) for each in (few, rows - few)]
    assert chances[0] == pytest.approx(chances[1])
    assert max(chances) < 1e-20
    table = np.stack([few, rows - few], axis=1)
    assert chance.chance_of_l_infinity(difference, table) == pytest.approx(sum(chances))


@pytest.mark.parametrize("expected", [12, 60, 150])
def test_chance_is_not_thought_rarer_than_it_is_where_few_rows_are_expected(expected: int) -> None:
    rows = np.array([10_000_000, 1000])
    for more in range(expected, expected + 5 * math.isqrt(expected)):
        counts = np.array([expected * 10_000, more])
        found = chance.chance_of_share(abs(more - expected) / 1000, counts, rows)
        assert found >= 0.4 * stats.binom.sf(more - 1, 1000, expected / 1000)


def test_a_floor_is_where_its_chance_is_reached() -> None:
    table = np.array([[700, 200, 100], [140, 40, 20]])
    floor = chance.floor_of_l_infinity(0.01, table)
    assert chance.chance_of_l_infinity(floor * 1.01, table) <= 0.01 < chance.chance_of_l_infinity(floor * 0.7, table)
    divergence = chance.floor_of_jensen_shannon(0.01, table)
    assert chance.chance_of_jensen_shannon(divergence, table) == pytest.approx(0.01)


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 2000), st.integers(1, 2000), st.floats(1, 5))
def test_the_chance_of_a_share_is_one_whatever_the_counts(one: int, other: int, rows: int, others: int, scale: float) -> None:
    counts, sizes = np.array([min(one, rows), min(other, others)]), np.array([rows, others])
    difference = abs(counts[0] / rows - counts[1] / others)
    found = chance.chance_of_share(difference, counts, sizes, scale)
    assert 0 <= found <= 1
    floor = chance.floor_of_share(0.01, counts, sizes, scale)
    assert 0 < floor <= 1


@pytest.mark.parametrize("table", [[[0, 0], [5, 5]], [[5], [7]]])
def test_what_no_rows_tell_is_left_to_chance(table: list[list[int]]) -> None:
    assert chance.chance_of_jensen_shannon(0.5, np.array(table)) == 1.0
    assert chance.floor_of_jensen_shannon(0.01, np.array(table)) == 1.0


def test_two_rows_say_nothing() -> None:
    assert chance.floor_of_l_infinity(0.01, np.array([[1000, 1000], [2, 0]])) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_many_chances_are_adjusted_as_holm_does_it(chances: list[float]) -> None:
    found = chance.adjusted(chances)
    ordered = sorted(range(len(chances)), key=lambda each: chances[each])
    largest = 0.0
    for rank, place in enumerate(ordered):
        largest = max(largest, min(1.0, chances[place] * (len(chances) - rank)))
        assert math.isclose(found[place], largest)
