"""Sums up a run in a headline and the reasons for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pipeline import nodes
from pipeline.config import Task
from pipeline.report import formats
from pipeline.report.read.advantage import CONSTANTS, in_words
from pipeline.report.read.run_details import RunDetails
from pipeline.runs.status import NodeState, RunState


class Tone(str, Enum):
    """Whether a verdict is good news."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Verdict:
    """The summary of a run.

    Attributes:
      headline: the result in a few words.
      reasons: why, a sentence each; empty where the headline says all.
      tone: whether it is good news.
      details: the parts of an error: where, expected, seen, fix.
    """

    headline: str
    reasons: tuple[str, ...]
    tone: Tone
    details: tuple[tuple[str, str], ...] = ()


def judge(details: RunDetails) -> Verdict:
    """Sums up a run.

    Args:
      details: the run's outcome and artifacts.
    """
    outcome = details.outcome
    if outcome.state in (RunState.FAILED, RunState.INTERRUPTED):
        return _stopped(details)
    if outcome.state is RunState.RUNNING:
        at_work = [name for name, node in outcome.nodes.items() if node.state is NodeState.RUNNING]
        return Verdict("Still running", (f"At work: {', '.join(at_work)}.",) if at_work else (), Tone.NEUTRAL)
    if outcome.state is RunState.UNKNOWN:
        damage = details.damage
        seen = tuple(damage.details().items()) if damage else ()
        return Verdict("Not known", (damage.what,) if damage else (), Tone.NEUTRAL, seen)
    return judge_push(details)


def judge_push(details: RunDetails) -> Verdict:
    """Sums up whether the candidate was blessed and pushed.

    Args:
      details: the outcome and artifacts of a run whose Pusher has ended, or that has no Pusher.
    """
    infra = details.infra_blessing
    if details.version and details.run.executions[nodes.PUSHER.id].state is NodeState.CACHED:
        reason = "Nothing that it depends on has changed since it was pushed."
        return Verdict(f"Version {details.version} is up to date", (reason,), Tone.GOOD)
    if details.version:
        return Verdict(f"Blessed and pushed as version {details.version}", why_blessed(details), Tone.GOOD)
    if details.blessed is False:
        return Verdict("Not blessed, so not pushed", why_not_blessed(details), Tone.BAD)
    if infra and not infra.properties.get("blessed"):
        message = str(infra.properties.get("message") or "the candidate could not be loaded and asked")
        return Verdict("Not pushed: the model cannot be served", (message,), Tone.BAD)
    if details.blessed:
        return Verdict("Blessed, not pushed in this run", why_blessed(details), Tone.GOOD)
    skipped = [name for name, node in details.outcome.nodes.items() if node.state is NodeState.SKIPPED]
    reasons = (f"Left out of this partial run: {', '.join(skipped)}.",) if skipped else ()
    return Verdict("Complete; no model was judged", reasons, Tone.NEUTRAL)


def _stopped(details: RunDetails) -> Verdict:
    outcome = details.outcome
    failed = [name for name, node in outcome.nodes.items() if node.state is NodeState.FAILED]
    interrupted = [name for name, node in outcome.nodes.items() if node.state is NodeState.INTERRUPTED]
    if outcome.state is RunState.INTERRUPTED:
        reasons = (f"At work then: {', '.join(interrupted)}.",) if interrupted else ()
        return Verdict("Interrupted", (*reasons, "The next run goes on where this one stopped."), Tone.NEUTRAL)
    problem = outcome.problem
    where = f"Failed at {', '.join(failed)}" if failed else "Failed before the first node"
    if problem is None:
        return Verdict(where, (), Tone.BAD)
    return Verdict(f"{where}: {problem.headline.lower()}", (problem.what,), Tone.BAD, tuple(problem.details.items()))


def why_not_blessed(details: RunDetails) -> tuple[str, ...]:
    """The thresholds that did not hold, a sentence each."""
    # A metric without a value fails each of its bounds for the one reason.
    failures = details.evaluation.failures if details.evaluation else ()
    return tuple(dict.fromkeys(f"{check.sentence(details.baseline_name)}." for check in failures))


def why_blessed(details: RunDetails) -> tuple[str, ...]:
    """How good the candidate is, and the thresholds that it met, a sentence each."""
    evaluation = details.evaluation
    if evaluation is None:
        return ()
    count = len(evaluation.checks)
    thresholds = "The threshold holds" if count == 1 else f"All {count} thresholds hold"
    if evaluation.has_baseline:
        hold = f"{thresholds}, also against the baseline, the latest blessed model before it."
    else:
        hold = f"{thresholds}. There was no baseline to compare with: no model had been blessed before."
    decision = details.saved_model.decision if details.saved_model else ""
    linear = details.training.beside_linear if details.training else ""
    return (*filter(None, [standing(details), linear, decision]), hold)


def standing(details: RunDetails) -> str:
    """How good the candidate is, in a sentence: which class is positive, and how much better than others it is.

    Empty where it was not compared with others.
    """
    judgement = details.evaluation.judgement if details.evaluation else None
    if judgement is None or judgement.constant is None:
        return ""
    metric = judgement.constant.metric
    against = [in_words(judgement.baseline[metric], details.baseline_name)] if metric in judgement.baseline else []
    compared = ", ".join([*against, in_words(judgement.constant, CONSTANTS[metric])])
    classes = details.saved_model.classes if details.saved_model else ()
    is_binary = details.config.task is Task.BINARY and len(classes) == 2
    positive = f" at telling {details.config.label} = {classes[1]}" if is_binary else ""
    return f"{metric} {formats.metric(judgement.constant.candidate)}{positive}: {compared}."
