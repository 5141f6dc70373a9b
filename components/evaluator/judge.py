"""Whether a candidate is better than no model, no worse than the baseline, and alike in slices, by more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.contestants import Contestants, gain_of
from components.evaluator.gaps import Measured, adjusted, largest_gap
from components.evaluator.gate import Gate
from components.evaluator.regressions import Regression, allowed_regressions
from components.evaluator.significance import best_constant, constant_interval, standard_error
from components.evaluator.slices import SliceKey, value_of
from components.evaluator.sums import IntArray
from pipeline.contracts.judgement import Advantage, Gap, Judgement, SliceAdvantage


def judge(gate: Gate, eval_config: config_pb2.EvalConfig, contestants: Contestants) -> Judgement:
    """Compares the candidate with its opponents, and its slices with each other. What has no value is compared with nothing.

    Args:
      gate: what to compare.
      eval_config: its thresholds of change say in which metrics the baseline is an opponent, over all rows and in slices, and
        by how much the candidate may be worse.
      contestants: the models.
    """
    regressions = list(allowed_regressions(eval_config))
    return Judgement(
        gate.confidence,
        _against_constant(gate, contestants),
        gate.needs_constant,
        {each.metric: each for each in _against_baseline(gate, regressions, contestants)},
        tuple(_slices_against_baseline(gate, regressions, contestants)),
        tuple(_gaps(gate, contestants)),
    )


def _against_constant(gate: Gate, contestants: Contestants) -> Advantage | None:
    candidate = contestants.samples[contestants.candidate]
    says, theirs = best_constant(gate.metric, candidate)
    ours = contestants.value(gate.metric, contestants.candidate)
    gain = gain_of(gate.metric, ours, theirs)
    if not math.isfinite(gain):
        return None
    lower, upper = constant_interval(gate.metric, gain, candidate, says, gate.confidence)
    return Advantage(gate.metric, ours, theirs, gain, lower, upper, holds=lower > 0)


def _against_baseline(gate: Gate, regressions: list[Regression], contestants: Contestants) -> Iterator[Advantage]:
    if contestants.baseline is None:
        return
    # The primary metric is compared in any case, for people to know.
    limits = {gate.metric: math.inf, **{each.metric: each.allowed for each in regressions if not each.column}}
    if gate.allows_standard_error:
        limits[gate.metric] = standard_error(gate.metric, contestants.samples[contestants.baseline])
    for metric, allowed in limits.items():
        if advantage := contestants.advantage(metric, allowed, gate.confidence):
            yield advantage


def _slices_against_baseline(gate: Gate, regressions: list[Regression], contestants: Contestants) -> Iterator[SliceAdvantage]:
    """As slices are many, some would be worse by chance: the confidence is that of all slices by a column at once."""
    for each in regressions:
        if each.column and contestants.baseline is not None:
            slices = _large_slices(gate, contestants, each.column)
            for key, rows in slices.items():
                confidence = adjusted(gate.confidence, len(slices))
                advantage = contestants.advantage(each.metric, each.allowed, confidence, key, rows)
                if advantage:
                    yield SliceAdvantage(each.column, value_of(key), advantage)


def _gaps(gate: Gate, contestants: Contestants) -> Iterator[Gap]:
    for column, limits in gate.max_gaps.items():
        parts = {
            key: contestants.samples[contestants.candidate].of(rows)
            for key, rows in _large_slices(gate, contestants, column).items()
        }
        for metric, allowed in limits.items():
            measured = [
                Measured(
                    value_of(key),
                    contestants.value(metric, contestants.candidate, key),
                    standard_error(metric, part),
                    len(part),
                )
                for key, part in parts.items()
            ]
            if gap := largest_gap(column, metric, measured, allowed, gate.confidence):
                yield gap


def _large_slices(gate: Gate, contestants: Contestants, column: str) -> Mapping[SliceKey, IntArray]:
    """The slices with enough rows, of which at least one counts."""
    weights = contestants.samples[contestants.candidate].weights
    slices = contestants.membership.rows(column)
    return {key: rows for key, rows in slices.items() if len(rows) >= gate.min_slice_rows and weights[rows].any()}
