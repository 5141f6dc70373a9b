"""The past played span by span: what each policy would have done, and how good it would have been."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from pipeline.backtest.policies import Policy, Trigger, training_spans
from pipeline.contracts.metrics import higher_is_better

CONFIDENCE = 0.95
MAX_DECAY = 0.02
"""By how much worse than in its first span a model may be, as a share of the metric, before it has decayed."""


@dataclass(frozen=True)
class Quality:
    """How good a model is on a span.

    Attributes:
      value: the task's primary metric; NaN where the span has none.
      error: its standard error.
      rows: how many rows were judged.
    """

    value: float
    error: float
    rows: int


@dataclass(frozen=True)
class Turn:
    """A span, as a policy went through it.

    Attributes:
      span: the span.
      spans: those that the model of this span was trained on.
      retrained: whether it was trained for this span.
      reason: why it was, or why it was not.
      quality: how good it was on the span.
    """

    span: int
    spans: tuple[int, ...]
    retrained: bool
    reason: str
    quality: Quality


class Past(Protocol):
    """What happened, and would have happened."""

    def quality(self, spans: Sequence[int], span: int) -> Quality:
        """How good the model of some spans is on another."""

    def drifted(self, spans: Sequence[int], span: int) -> tuple[str, ...]:
        """What of a span has drifted from the spans that a model was trained on."""


def play(
    policies: Sequence[Policy],
    spans: Sequence[int],
    played: Sequence[int],
    metric: str,
    past: Past,
    told: Callable[[int], None] = lambda span: None,
) -> dict[Policy, tuple[Turn, ...]]:
    """Plays policies beside each other.

    Before each span, a policy decides by what is known then: the spans before it, with their labels.

    Args:
      policies: the policies.
      spans: all spans, oldest first.
      played: those to play; at least one is before them.
      metric: the task's primary metric.
      past: what happened.
      told: called before each span.
    """
    turns: dict[Policy, list[Turn]] = {policy: [] for policy in policies}
    for span in played:
        told(span)
        for policy, before in turns.items():
            reason = _reason(policy, before, metric, past)
            chosen = training_spans(spans, span, policy.window) if reason else before[-1].spans
            before.append(Turn(span, chosen, bool(reason), reason, past.quality(chosen, span)))
    return {policy: tuple(each) for policy, each in turns.items()}


def _reason(policy: Policy, turns: Sequence[Turn], metric: str, past: Past) -> str:
    """Why a policy trains a model now; empty if it does not."""
    if not turns:
        return "the first model"
    if policy.trigger is Trigger.EVERY:
        return f"span {turns[-1].span} has come"
    if policy.trigger is Trigger.DRIFT:
        drifted = past.drifted(turns[-1].spans, turns[-1].span)
        return f"{', '.join(drifted)} drifted in {turns[-1].span}" if drifted else ""
    if policy.trigger is Trigger.DECAY:
        first = next(turn for turn in reversed(turns) if turn.retrained)
        return f"{metric} fell in {turns[-1].span}" if has_decayed(metric, first.quality, turns[-1].quality) else ""
    return ""


def has_decayed(metric: str, first: Quality, now: Quality) -> bool:
    """Whether a model is worse than it was, by more than chance and by more than `MAX_DECAY`.

    Args:
      metric: the metric.
      first: how good it was, on other rows than now.
      now: how good it is.
    """
    loss = (first.value - now.value) * (1 if higher_is_better(metric) else -1)
    error = float(np.hypot(first.error, now.error)) * float(stats.norm.ppf(CONFIDENCE))
    return bool(loss > MAX_DECAY * abs(first.value) and loss > error)


def models_of(turns: Mapping[Policy, Sequence[Turn]]) -> dict[Policy, tuple[tuple[int, ...], ...]]:
    """The models that each policy trains, by the spans that they are trained on."""
    return {policy: tuple(dict.fromkeys(turn.spans for turn in each if turn.retrained)) for policy, each in turns.items()}
