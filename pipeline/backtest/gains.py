"""What one policy gains over another, on the same rows, with the interval that the true gain lies in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.evaluator.contestants import gain_of
from components.evaluator.sample import Sample
from components.evaluator.significance import gain_interval, metric_of
from pipeline.backtest.play import CONFIDENCE, Turn
from pipeline.backtest.policies import Policy, Trigger, window_words


@dataclass(frozen=True)
class SpanGain:
    """By how much one model is better than another on a span, positive where it is, with the ends of the interval."""

    span: int
    gain: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Gain:
    """A gain, on average over spans.

    Attributes:
      what: what gains.
      over: over what.
      kind: `policy`, `retraining` or `history`.
      gain: by how much the metric is better on average, positive where it is better.
      lower: the lower end of the interval of 95 %.
      upper: its upper end.
      by_span: the gain on each span.
    """

    what: str
    over: str
    kind: str
    gain: float
    lower: float
    upper: float
    by_span: tuple[SpanGain, ...]


class Judged(Protocol):
    """The predictions of models, by the spans that they were trained on."""

    def sample(self, spans: Sequence[int], span: int) -> Sample:
        """What a model says of the rows of a span."""


def gains(turns: Mapping[Policy, Sequence[Turn]], metric: str, judged: Judged) -> tuple[Gain, ...]:
    """What policies gain: each over never retraining, one retraining over none, and a longer window over a shorter one.

    Args:
      turns: what each policy did.
      metric: the task's primary metric.
      judged: the predictions.
    """
    found: list[Gain | None] = []
    never = next((each for each in turns if each.trigger is Trigger.NEVER), None)
    if never:
        others = [each for each in turns if each is not never]
        found += [_over("policy", str(each), str(never), turns[each], turns[never], metric, judged) for each in others]
    every = [each for each in turns if each.trigger is Trigger.EVERY]
    for policy in every:
        own = turns[policy]
        found.append(
            _mean(
                "retraining",
                f"retrained, {window_words(policy.window)}",
                "the model of one span earlier",
                [_on(turn.span, turn.spans, before.spans, metric, judged) for before, turn in itertools.pairwise(own)],
            )
        )
    for longer, shorter in itertools.pairwise(every):
        pairs = [(a, b) for a, b in zip(turns[longer], turns[shorter], strict=True) if a.spans != b.spans]
        on = [_on(a.span, a.spans, b.spans, metric, judged) for a, b in pairs]
        what = window_words(longer.window), window_words(shorter.window)
        found.append(_mean("history", *what, on))
        extra = [len(a.spans) - len(b.spans) for a, b in pairs]
        one = [
            SpanGain(each.span, each.gain / more, each.lower / more, each.upper / more)
            for each, more in zip(on, extra, strict=True)
        ]
        found.append(_mean("history", f"one more span, between {what[1]} and {what[0]}", "one less", one))
    return tuple(each for each in found if each is not None)


def _over(
    kind: str, what: str, over: str, ours: Sequence[Turn], theirs: Sequence[Turn], metric: str, judged: Judged
) -> Gain | None:
    pairs = zip(ours, theirs, strict=True)
    return _mean(kind, what, over, [_on(one.span, one.spans, other.spans, metric, judged) for one, other in pairs])


def _on(span: int, ours: Sequence[int], theirs: Sequence[int], metric: str, judged: Judged) -> SpanGain:
    if tuple(ours) == tuple(theirs):
        return SpanGain(span, 0.0, 0.0, 0.0)
    one, other = judged.sample(ours, span), judged.sample(theirs, span)
    gain = gain_of(metric, metric_of(metric, one), metric_of(metric, other))
    if not math.isfinite(gain):
        return SpanGain(span, math.nan, math.nan, math.nan)
    return SpanGain(span, gain, *gain_interval(metric, gain, one, other, CONFIDENCE))


def _mean(kind: str, what: str, over: str, by_span: Sequence[SpanGain]) -> Gain | None:
    """The mean over spans, whose rows are independent of each other; None where no span has a gain.

    The interval follows from those of the spans (Zou and Donner, Construction of confidence limits about effect measures: a
    general approach, Statistics in Medicine 27, 2008).
    """
    known = [each for each in by_span if math.isfinite(each.gain)]
    if not known:
        return None
    gain = float(np.mean([each.gain for each in known]))
    below, above = (
        math.sqrt(sum(distance**2 for distance in distances)) / len(known)
        for distances in ([each.gain - each.lower for each in known], [each.upper - each.gain for each in known])
    )
    return Gain(what, over, kind, gain, gain - below, gain + above, tuple(by_span))
