"""Reads the Evaluator's results: metrics by slice beside the baseline's, thresholds, plots."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.contracts.judgement import FILE_NAME, Advantage, Judgement
from pipeline.contracts.metrics import PRIMARY_METRICS, higher_is_better
from pipeline.report import formats
from pipeline.report.read.advantage import CONSTANTS, in_words
from pipeline.report.read.plots import Plots, plots_of
from pipeline.report.read.protos import read_records, tfma_protos
from pipeline.report.read.undefined import RANKINGS, Undefined, undefined

# Column and value of what the rows of a slice have in common.
_Key = tuple[tuple[str, str], ...]

CANDIDATE, BASELINE = "candidate", "baseline"
OVERALL = ""
EXAMPLE_COUNT, MEAN_LABEL = "example_count", "mean_label"
NO_WORSE = "no worse"
"""The bound against a baseline where no regression is allowed."""
_NOISE = 1e-9
# The Evaluator's bounds for the least change that counts, and for any number.
_EQUAL, _ANY = 1e-6, "≥ 0"
_MANY_ROWS = 400


@dataclass(frozen=True)
class Comparison:
    """A metric of the candidate beside the baseline's, where there is one."""

    metric: str
    candidate: float | None = None
    baseline: float | None = None

    @property
    def difference(self) -> float | None:
        """Candidate minus baseline."""
        if self.candidate is None or self.baseline is None or not math.isfinite(self.candidate - self.baseline):
            return None
        return self.candidate - self.baseline

    @property
    def gain(self) -> float | None:
        """How much better than the baseline the candidate is, negative for worse; None where better has no meaning."""
        if self.difference is None or self.candidate is None or self.baseline is None:
            return None
        direction = higher_is_better(self.metric)
        if direction is not None:
            return self.difference if direction else -self.difference
        return abs(self.baseline - 1) - abs(self.candidate - 1) if self.metric == "calibration" else None

    @property
    def trend(self) -> str:
        """`better`, `worse` or nothing, for how it is shown."""
        if self.gain is None or abs(self.gain) < _NOISE:
            return ""
        return "better" if self.gain > 0 else "worse"


@dataclass(frozen=True)
class Slice:
    """Metrics of some of the rows.

    Attributes:
      key: column and value of what the rows have in common; empty for all rows.
      metrics: the metrics by name.
    """

    key: tuple[tuple[str, str], ...]
    metrics: Mapping[str, Comparison]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that divide the rows."""
        return tuple(column for column, _ in self.key)

    @property
    def label(self) -> str:
        """The slice as text, such as `carrier = AA`."""
        return ", ".join(f"{column} = {value}" for column, value in self.key) or "all rows"

    @property
    def rows(self) -> int | None:
        """How many rows of the evaluation split are in it."""
        count = self.metric(EXAMPLE_COUNT).candidate
        return None if count is None else round(count)

    def metric(self, name: str) -> Comparison:
        """The metric of that name, without values when it was not measured."""
        return self.metrics.get(name, Comparison(name))

    def undefined(self, name: str) -> Undefined | None:
        """Why the candidate's metric has no value; None where it has one, or was not measured."""
        value = self.metric(name).candidate
        return undefined(name, self.metric(MEAN_LABEL).candidate) if value is not None and math.isnan(value) else None


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
        if self.undefined:
            return f"{subject} is undefined, as {self.undefined.reason}: {self.undefined.remedy}"
        if self.advantage:
            compared = in_words(self.advantage, baseline if self.against_baseline else self.versus)
            wanted = f"; wanted {self.bound}" if self.against_baseline and self.bound != NO_WORSE else ""
            return f"{self.metric} is {formats.metric(self.advantage.candidate)}, {compared}{wanted}"
        if self.against_baseline:
            subject = f"{self.metric} against the baseline"
        sign = "+" if self.against_baseline else ""
        seen = "unknown" if self.value is None else f"{self.value:{sign}.4g}"
        return f"{subject} is {seen}, wanted {self.bound}" + (f" ({self.message})" if self.message else "")


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
      slices: all rows first, then by columns and value.
      checks: the thresholds, failed ones first.
      plots: the plots for all rows, by model: `candidate` and `baseline`.
      has_baseline: whether there was a model to compare with.
      judgement: how the candidate compares with others; None where TFX's own Evaluator was used, or an earlier release.
    """

    slices: tuple[Slice, ...] = ()
    checks: tuple[ThresholdResult, ...] = ()
    plots: Mapping[str, Plots] = field(default_factory=dict)
    has_baseline: bool = False
    judgement: Judgement | None = None

    @property
    def overall(self) -> Slice:
        """All rows."""
        return next((each for each in self.slices if not each.key), Slice((), {}))

    @property
    def primary_metric(self) -> str:
        """The name of the metric that sums the model up."""
        return next((name for name in PRIMARY_METRICS if name in self.overall.metrics), "")

    @property
    def uncertainty(self) -> str:
        """How far metrics of few rows are off by chance, as a sentence; empty where rows are many.

        The half of a 95 % interval. Of an AUC, that of a model that knows nothing: 1.96 √((m+n+1)/12mn) with m positives and n
        negatives, as of the Mann-Whitney statistic. Of a rate, the widest there is: 1.96 √(¼/n), the normal approximation of
        the binomial distribution at ½. Of an error, as a share of it: 1.96/√(2n), that of the standard deviation of a normal
        sample.
        """
        rows = self.overall.rows
        if not rows or rows >= _MANY_ROWS or not self.primary_metric:
            return ""
        positives = self._positives if self.primary_metric == "auc" else None
        if positives and rows > positives:
            half = 1.96 * math.sqrt((rows + 1) / (12 * positives * (rows - positives)))
            off = f"a model that knows nothing has an auc between {max(0.5 - half, 0):.2f} and {min(0.5 + half, 1):.2f}"
        elif higher_is_better(self.primary_metric):
            off = f"a rate such as accuracy is off by up to {0.98 / math.sqrt(rows):.2f}"
        else:
            off = f"an error such as rmse is off by up to {formats.percent(1.96 / math.sqrt(2 * rows))}"
        return f"Few rows: by chance alone, {off} (95 % of the time)."

    @property
    def _positives(self) -> int | None:
        """How many rows of a binary label are positive; None where that was not counted."""
        plots = self.plots.get(CANDIDATE)
        counts = plots.confusion.counts if plots and plots.confusion else ()
        return round(sum(counts[1])) if len(counts) == 2 else None

    @property
    def failures(self) -> tuple[ThresholdResult, ...]:
        """The thresholds that did not hold."""
        return tuple(check for check in self.checks if not check.holds)

    def worst_slices(self, count: int, min_rows: int) -> list[Slice]:
        """The slices with the worst primary metric, worst first, of those with at least `min_rows` rows."""
        sign = -1 if higher_is_better(self.primary_metric) is False else 1
        known = [
            (sign * value, each)
            for each in self.slices
            if each.key and (each.rows or 0) >= min_rows
            if (value := each.metric(self.primary_metric).candidate) is not None and math.isfinite(value)
        ]
        return [each for _, each in sorted(known, key=lambda pair: pair[0])[:count]]


def read_evaluation(folder: Path) -> Evaluation:
    """Reads the `evaluation` artifact of an Evaluator.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: the folder has no evaluation.
    """
    metrics = tfma_protos("metrics_for_slice_pb2")
    slices = [_slice(metrics.MetricsForSlice.FromString(record)) for record in _records(folder, "metrics")]
    plots: dict[str, Plots] = {}
    for record in _records(folder, "plots"):
        message = metrics.PlotsForSlice.FromString(record)
        if not message.slice_key.single_slice_keys:
            plots = _plots(message)
    judged = folder / FILE_NAME
    judgement = Judgement.from_json(judged.read_text()) if judged.is_file() else None
    by_columns = sorted(slices, key=lambda each: (len(each.key), each.columns, [_natural(value) for _, value in each.key]))
    return Evaluation(
        slices=tuple(by_columns),
        checks=tuple(sorted(_checks(folder, by_columns, judgement), key=lambda check: check.holds)),
        plots=plots,
        has_baseline=any(comparison.baseline is not None for each in slices for comparison in each.metrics.values()),
        judgement=judgement,
    )


def _records(folder: Path, kind: str) -> Iterator[bytes]:
    files = sorted(folder.glob(f"{kind}-?????-of-?????.tfrecord"))
    if not files and kind == "metrics":
        raise FileNotFoundError(folder / "metrics-*.tfrecord")
    for path in files:
        yield from read_records(path)


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers by size and before text."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _slice_key(message: Any) -> tuple[tuple[str, str], ...]:
    def text(single: Any) -> str:
        value = getattr(single, single.WhichOneof("kind") or "bytes_value")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    return tuple((single.column, text(single)) for single in message.single_slice_keys)


def _slice(message: Any) -> Slice:
    values: dict[str, dict[str, float]] = {}
    for pair in message.metric_keys_and_values:
        if pair.key.is_diff or pair.value.WhichOneof("type") != "double_value" or pair.key.HasField("sub_key"):
            continue
        values.setdefault(pair.key.name, {})[pair.key.model_name or CANDIDATE] = pair.value.double_value.value
    if set(values.get(MEAN_LABEL, {}).values()) & {0.0, 1.0}:
        # TFX's own Evaluator writes 0 or 1 where rows have a single class.
        values |= {name: dict.fromkeys(values[name], math.nan) for name in RANKINGS & values.keys()}
    comparisons = {name: Comparison(name, pair.get(CANDIDATE), pair.get(BASELINE)) for name, pair in values.items()}
    return Slice(_slice_key(message.slice_key), comparisons)


def _plots(message: Any) -> dict[str, Plots]:
    data: dict[str, Any] = {}
    for pair in message.plot_keys_and_values:
        name = pair.key.model_name or CANDIDATE
        # Plots of one model come as one message or one for each; merged, each kind is found in one place.
        data.setdefault(name, type(pair.value)()).MergeFrom(pair.value)
    return {name: plots_of(each) for name, each in data.items()}


def _checks(folder: Path, slices: list[Slice], judgement: Judgement | None) -> Iterator[ThresholdResult]:
    constant = judgement.constant if judgement and judgement.needs_constant else None
    if constant:
        sign = ">" if higher_is_better(constant.metric) else "<"
        bound = f"{sign} {formats.metric(constant.opponent)}"
        yield ThresholdResult(constant.metric, bound, constant.candidate, constant.holds, advantage=constant)
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
                    yield from _slice_checks(name, column, each["threshold"], by_key, slice_failures)
            thresholds = [
                each["threshold"] for each in metric.get("perSliceThresholds", []) if each.get("slicingSpecs") == [{}]
            ]
            for threshold in [*thresholds, metric.get("threshold", {})]:
                for against_baseline, bound in _bounds(threshold):
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
    name: str, column: str, threshold: Mapping[str, Any], slices: Mapping[_Key, Slice], failures: Collection[tuple[_Key, str]]
) -> Iterator[ThresholdResult]:
    """The slices by a column that a threshold does not hold for, or one result for all of them."""
    failed = [each for key, each in slices.items() if each.columns == (column,) and (key, name) in failures]
    for _, bound in _bounds(threshold):
        for each in failed:
            value = each.metric(name).candidate
            yield ThresholdResult(name, bound, value, holds=False, undefined=each.undefined(name), slice=each.label)
        if not failed:
            yield ThresholdResult(name, bound, None, holds=True, slice=f"each {column}")


def _bounds(threshold: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    value, change = threshold.get("valueThreshold", {}), threshold.get("changeThreshold", {})
    lower, upper = value.get("lowerBound"), value.get("upperBound")
    if lower is not None and upper is not None:
        yield False, f"{_bound(lower)} to {_bound(upper)}"
    elif upper is not None:
        yield False, f"≤ {_bound(upper)}"
    elif lower is not None and not (change and lower == 0):  # 0 beside a change only refuses metrics that are not a number
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


def _failures(folder: Path) -> tuple[dict[tuple[str, bool], str], set[tuple[_Key, str]]]:
    """The thresholds that do not hold.

    Returns:
      Of all rows TFMA's message, by metric and whether it is against the baseline; and slices, each with the metric.
    """
    path = folder / "validations.tfrecord"
    result = tfma_protos("validation_result_pb2").ValidationResult
    failures: dict[tuple[str, bool], str] = {}
    of_slices: set[tuple[_Key, str]] = set()
    for record in read_records(path) if path.is_file() else ():
        for validation in result.FromString(record).metric_validations_per_slice:
            for failure in validation.failures:
                if validation.slice_key.single_slice_keys:
                    of_slices.add((_slice_key(validation.slice_key), failure.metric_key.name))
                    continue
                against_baseline = failure.metric_threshold.HasField("change_threshold")
                failures[failure.metric_key.name, against_baseline] = " ".join(failure.message.split())
    return failures, of_slices
