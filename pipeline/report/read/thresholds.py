"""The thresholds of an evaluation, and whether they held."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contracts.judgement import Advantage, Gap, Judgement
from pipeline.contracts.metrics import BELOW_ZERO, higher_is_better
from pipeline.report import formats
from pipeline.report.read.advantage import CONSTANTS, gap_in_words, in_words
from pipeline.report.read.protos import read_records, tfma_protos
from pipeline.report.read.slices import Key, Slice, slice_key
from pipeline.report.read.undefined import Undefined

NO_WORSE = "no worse"
"""The bound against a baseline where no regression is allowed."""
# The Evaluator's bounds for the least change that counts, and for any number.
_EQUAL = 1e-6
_ANY = "any number"


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold for all rows and whether it held.

    Attributes:
      metric: its name.
      bound: the bound as text, such as `≥ 0.7`.
      value: what was compared with the bound: the metric, or its difference from the baseline's.
      holds: whether the bound holds.
      against_baseline: whether `value` is a difference.
      message: TFMA's message, where the metric could not be judged.
      undefined: why the metric has no value, if it has none.
      advantage: the comparison that decided, where chance was taken into account.
      slice: the rows that it is for, such as `carrier = AA`, or `each carrier` where it holds for all; empty for all rows.
      gap: the difference between slices that it bounds.
    """

    metric: str
    bound: str
    value: float | None
    holds: bool
    against_baseline: bool = False
    message: str = ""
    undefined: Undefined | None = None
    advantage: Advantage | None = None
    slice: str = ""
    gap: Gap | None = None

    @property
    def versus(self) -> str:
        """Whom the bound is against; empty where it is for the metric itself."""
        if self.advantage and not self.against_baseline:
            return CONSTANTS[self.metric]
        return "the baseline" if self.against_baseline else ""

    def sentence(self, baseline: str = "the baseline") -> str:
        """The metric and the bound in one line, or why the metric has no value and what to do about it.

        Args:
          baseline: the baseline's name.
        """
        subject = f"{self.metric} for {self.slice}" if self.slice else self.metric
        if self.gap:
            return f"{gap_in_words(self.gap)}; wanted {self.bound}"
        if self.undefined:
            return f"{subject} is undefined, as {self.undefined.reason}: {self.undefined.remedy}"
        if self.advantage:
            compared = in_words(self.advantage, baseline if self.against_baseline else self.versus)
            wanted = f"; wanted {self.bound}" if self.against_baseline and self.bound != NO_WORSE else ""
            return f"{subject} is {formats.metric(self.advantage.candidate)}, {compared}{wanted}"
        if self.against_baseline:
            subject = f"{self.metric} against the baseline"
        sign = "+" if self.against_baseline else ""
        seen = "unknown" if self.value is None else f"{self.value:{sign}.4g}"
        return f"{subject} is {seen}, wanted {self.bound}" + (f" ({self.message})" if self.message else "")


def read_checks(folder: Path, slices: Sequence[Slice], judgement: Judgement | None) -> Iterator[ThresholdResult]:
    """Reads the thresholds of an evaluation.

    Args:
      folder: the folder of the `evaluation` artifact.
      slices: the slices with their metrics.
      judgement: how the candidate compares with others; None where that was not written.
    """
    constant = judgement.constant if judgement and judgement.needs_constant else None
    if constant:
        sign = ">" if higher_is_better(constant.metric) else "<"
        bound = f"{sign} {formats.metric(constant.opponent)}"
        yield ThresholdResult(constant.metric, bound, constant.candidate, constant.holds, advantage=constant)
    for gap in judgement.gaps if judgement else ():
        yield ThresholdResult(
            gap.metric, f"gap ≤ {_bound(gap.allowed)}", gap.size, gap.holds, slice=f"each {gap.column}", gap=gap
        )
    path = folder / "eval_config.json"
    if not path.is_file():
        return
    failures, slice_failures = _failures(folder)
    by_key = {each.key: each for each in slices}
    overall = by_key.get((), Slice((), {}))
    for specs in json.loads(path.read_text())["evalConfig"].get("metricsSpecs", []):
        for metric in specs.get("metrics", []):
            options = json.loads(metric.get("config") or "{}")
            name = options.get("name", metric["className"])
            for each in metric.get("perSliceThresholds", []):
                for column in (spec["featureKeys"][0] for spec in each.get("slicingSpecs", []) if spec.get("featureKeys")):
                    advantages: dict[Key, Advantage] = {
                        ((of.column, of.value),): of.advantage
                        for of in (judgement.slices if judgement else ())
                        if (of.column, of.advantage.metric) == (column, name)
                    }
                    yield from _slice_checks(name, column, each["threshold"], by_key, slice_failures, advantages)
            thresholds = [
                each["threshold"] for each in metric.get("perSliceThresholds", []) if each.get("slicingSpecs") == [{}]
            ]
            for threshold in [*thresholds, metric.get("threshold", {})]:
                for against_baseline, bound in _bounds(name, threshold):
                    if constant and bound == _ANY:
                        continue
                    advantage = judgement.baseline.get(name) if judgement and against_baseline else None
                    if advantage and bound == NO_WORSE and advantage.allowed > _EQUAL:
                        allowed = -advantage.allowed if higher_is_better(name) else advantage.allowed
                        bound = f"{'≥' if allowed < 0 else '≤'} {_bound(allowed, signed=True)}"
                    comparison = overall.metric(name)
                    failure = failures.get((name, against_baseline))
                    yield ThresholdResult(
                        metric=name,
                        bound=bound,
                        value=comparison.difference if against_baseline else comparison.candidate,
                        holds=failure is None,
                        against_baseline=against_baseline,
                        message=failure or "",
                        undefined=overall.undefined(name),
                        advantage=advantage,
                    )


def _slice_checks(
    name: str,
    column: str,
    threshold: Mapping[str, Any],
    slices: Mapping[Key, Slice],
    failures: Collection[tuple[Key, str, bool]],
    advantages: Mapping[Key, Advantage],
) -> Iterator[ThresholdResult]:
    """The slices by a column that a threshold does not hold for, or one result for all of them."""
    of_column = {key: each for key, each in slices.items() if each.columns == (column,)}
    for change, bound in _bounds(name, threshold):
        failed = {key: each for key, each in of_column.items() if (key, name, change) in failures}
        for key, each in failed.items():
            comparison, advantage = each.metric(name), advantages.get(key) if change else None
            value = comparison.difference if change else comparison.candidate
            why = each.undefined(name)
            yield ThresholdResult(name, bound, value, False, change, undefined=why, advantage=advantage, slice=each.label)
        if not failed and bound != _ANY:
            yield ThresholdResult(name, bound, None, True, change, slice=f"each {column}")


def _bounds(metric: str, threshold: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    value, change = threshold.get("valueThreshold", {}), threshold.get("changeThreshold", {})
    lower, upper = value.get("lowerBound"), value.get("upperBound")
    if lower is not None and upper is not None:
        yield False, f"{_bound(lower)} to {_bound(upper)}"
    elif upper is not None:
        yield False, f"≤ {_bound(upper)}"
    elif lower is not None and lower == (-sys.float_info.max if metric in BELOW_ZERO else 0.0):
        # Beside a change, that refuses what is not a number and nothing else.
        if not change:
            yield False, _ANY
    elif lower is not None:
        yield False, f"≥ {_bound(lower)}"
    sign = "≥" if change.get("direction") == "HIGHER_IS_BETTER" else "≤"
    if abs(change.get("absolute", 1)) <= _EQUAL:
        yield True, NO_WORSE
    elif "absolute" in change:
        yield True, f"{sign} {_bound(change['absolute'], signed=True)}"
    if "relative" in change:
        yield True, f"{sign} {_bound(change['relative'] * 100, signed=True)} %"


def _bound(value: float, *, signed: bool = False) -> str:
    return f"{value:{'+' if signed and value else ''}.4g}"


def _failures(folder: Path) -> tuple[dict[tuple[str, bool], str], set[tuple[Key, str, bool]]]:
    """The thresholds that do not hold.

    Returns:
      Of all rows TFMA's message, by metric and whether it is against the baseline; and slices, each with the same.
    """
    path = folder / "validations.tfrecord"
    result = tfma_protos("validation_result_pb2").ValidationResult
    failures: dict[tuple[str, bool], str] = {}
    of_slices: set[tuple[Key, str, bool]] = set()
    for record in read_records(path) if path.is_file() else ():
        for validation in result.FromString(record).metric_validations_per_slice:
            if validation.HasField("cross_slice_key"):
                continue
            for failure in validation.failures:
                against_baseline = failure.metric_threshold.HasField("change_threshold")
                if validation.slice_key.single_slice_keys:
                    of_slices.add((slice_key(validation.slice_key), failure.metric_key.name, against_baseline))
                else:
                    failures[failure.metric_key.name, against_baseline] = " ".join(failure.message.split())
    return failures, of_slices
