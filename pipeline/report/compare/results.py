"""What came of runs: metrics of all rows, the slices where they differ most, and the time that nodes took."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline import nodes
from pipeline.contracts.judgement import Advantage
from pipeline.report import formats
from pipeline.report.compare.data import same_evaluation
from pipeline.report.compare.differences import NONE, Difference, Section, difference, kept
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.slices import Comparison, Key
from pipeline.runs.status import NodeState, RunState

_MOST_SLICES = 10
_OTHER_ROWS = "The runs were evaluated on different rows: that alone changes metrics, and none is called better or worse."
_SECONDS, _SHARE = 1.0, 0.2
"""Times of a node that differ by less than a second or a fifth differ by chance."""
_BYTES = 50e6
"""The same of its memory: less than so much, or a fifth."""


def compare_metrics(runs: Sequence[RunDetails]) -> Section:
    """The metrics of all rows, that which sums the model up first."""
    evaluations = [run.evaluation for run in runs]
    primary = next((each.primary_metric for each in reversed(evaluations) if each), "")
    names = dict.fromkeys([primary, *(name for each in evaluations if each for name in each.overall.metrics)])
    names.pop("", None)
    rows = kept(_metric(name, name, (), runs) for name in names)
    notes = [_OTHER_ROWS] if rows and not same_evaluation(runs) else []
    gain = _against_baseline(runs)
    if gain:
        held = runs[-1].evaluation
        confidence = held.judgement.confidence if held and held.judgement else 0.0
        notes.append(_in_words(gain, confidence))
        notes += _handicap(runs)
    return Section("metrics", "Metrics", rows, tuple(notes))


def compare_slices(runs: Sequence[RunDetails]) -> Section:
    """The slices with enough rows whose primary metric differs most between the first run and the last."""
    first, last = runs[0].evaluation, runs[-1].evaluation
    if first is None or last is None or first.primary_metric != last.primary_metric:
        return Section("slices", "Slices")
    primary, least = last.primary_metric, runs[-1].config.evaluation.min_slice_rows
    wide = [{each.key for each in held.slices if each.key and (each.rows or 0) >= least} for held in (first, last)]
    rows = kept(_metric(_label(last, key), primary, key, runs) for key in sorted(wide[0] & wide[1]))
    ranked = sorted(rows, key=lambda row: -_size(row))
    more = len(ranked) - _MOST_SLICES
    return Section(
        "slices", f"Slices, by {primary}", tuple(ranked[:_MOST_SLICES]), (f"{more} more differ less.",) if more > 0 else ()
    )


def compare_outcomes(runs: Sequence[RunDetails]) -> Section:
    """How the runs ended, and why those that failed did."""
    rows = kept(
        [
            difference("state", [run.outcome.state.value for run in runs]),
            difference("blessed", [None if run.blessed is None else ("yes" if run.blessed else "no") for run in runs]),
            difference("note", [run.outcome.note or None for run in runs]),
        ]
    )
    notes = [
        f"Run {run.outcome.run_id} failed. {' '.join(filter(None, (problem.what, problem.details.get('fix'))))}"
        for run in runs
        if run.outcome.state is RunState.FAILED and (problem := run.outcome.problem)
    ]
    return Section("outcome", "Outcome", rows, tuple(notes))


def compare_times(runs: Sequence[RunDetails]) -> Section:
    """States and wall times of nodes; of a node that was at work in all runs only where its times differ clearly."""
    rows = []
    for node in dict.fromkeys(node for run in runs for node in run.outcome.nodes):
        outcomes = [run.outcome.nodes.get(node) for run in runs]
        seconds = [each.seconds if each and each.started else None for each in outcomes]
        states = [each.state.value if each else None for each in outcomes]
        if len(set(states)) > 1 or _clearly_apart(seconds):
            shown = tuple(
                f"{formats.seconds(time)}{'' if state == 'complete' else f' {state}'}" if state else NONE
                for state, time in zip(states, seconds, strict=True)
            )
            rows.append(Difference(node, tuple(seconds), shown))
    whole = [run.outcome.ended - run.outcome.started if run.outcome.ended else None for run in runs]
    if rows or _clearly_apart(whole):
        rows.append(Difference("in all", tuple(whole), tuple(map(formats.seconds, whole))))
    return Section("times", "Time by node", tuple(rows))


def compare_memory(runs: Sequence[RunDetails]) -> Section:
    """The most memory that nodes have had, where it differs clearly."""
    rows = []
    for node in dict.fromkeys(node for run in runs for node in run.outcome.nodes):
        outcomes = [run.outcome.nodes.get(node) for run in runs]
        peaks = [each.peak_bytes if each and each.state is NodeState.COMPLETE else None for each in outcomes]
        if _clearly_apart(peaks, _BYTES):
            rows.append(Difference(node, tuple(peaks), tuple(map(formats.size, peaks))))
    return Section("memory", "Memory by node", tuple(rows))


def _metric(subject: str, name: str, key: Key, runs: Sequence[RunDetails]) -> Difference | None:
    values = [_value(run.evaluation, name, key) for run in runs]
    # NaN, undefined, equals itself here.
    if len({repr(value) for value in values}) == 1:
        return None
    moved = Comparison(name, values[-1], values[0])
    return Difference(
        subject,
        tuple(values),
        tuple(NONE if value is None else formats.metric(value) for value in values),
        formats.difference(moved.difference) if moved.difference is not None else "",
        moved.trend if same_evaluation(runs) else "",
    )


def _value(evaluation: Evaluation | None, name: str, key: Key) -> float | None:
    found = next((each for each in evaluation.slices if each.key == key), None) if evaluation else None
    return found.metric(name).candidate if found else None


def _label(evaluation: Evaluation, key: Key) -> str:
    return next(each.label for each in evaluation.slices if each.key == key)


def _size(row: Difference) -> float:
    first, last = row.values[0], row.values[-1]
    size = abs(last - first) if first is not None and last is not None else math.nan
    return -1.0 if math.isnan(size) else size


def _against_baseline(runs: Sequence[RunDetails]) -> Advantage | None:
    """What the last run's Evaluator says about the first one's model, where that was its baseline."""
    first, last = runs[0], runs[-1]
    baseline = last.resolved(nodes.RESOLVER.id)
    held = last.evaluation
    if held is None or held.judgement is None or baseline is None or first.model is None or baseline.id != first.model.id:
        return None
    return held.judgement.baseline.get(held.primary_metric)


def _in_words(gain: Advantage, confidence: float) -> str:
    trend = "better" if gain.gain >= 0 else "worse"
    bounds = f"{formats.difference(gain.lower)} and {formats.difference(gain.upper)}"
    sure = "more than chance" if gain.lower > 0 or gain.upper < 0 else "no more than chance may be"
    return (
        f"On the same rows, the last model is {trend} in {gain.metric} than the first by {formats.metric(abs(gain.gain))}. "
        f"It gains between {bounds} with a confidence of {confidence:.0%}: {sure}."
    )


def _handicap(runs: Sequence[RunDetails]) -> list[str]:
    """That the first model had to do without columns which the last run did not read, if so."""
    first, last = runs[0].saved_model, runs[-1].statistics
    missing = [] if first is None or last is None else [*first.columns.keys() - {each.name for each in last.features}]
    if not missing:
        return []
    return [
        f"There, the first model had to do without {', '.join(sorted(missing))}, which the last run did not read: it is a "
        "better model than that comparison says."
    ]


def _clearly_apart(values: Sequence[float | None], least: float = _SECONDS) -> bool:
    known = [each for each in values if each is not None]
    if len(known) < 2:
        return False
    return max(known) - min(known) > max(least, _SHARE * max(known))
