"""What a backtest has found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipeline.backtest.gains import Gain
from pipeline.backtest.play import CONFIDENCE, Turn
from pipeline.backtest.policies import ALL, Policy
from pipeline.backtest.trials import Trial
from pipeline.contracts.metrics import higher_is_better


@dataclass(frozen=True)
class Played:
    """A policy, as it went through the spans.

    Attributes:
      policy: the policy.
      turns: what it did, span by span.
      runs: the models that it trained.
      mean: the metric on average over the spans that have one.
      gain: what it gained over never retraining; None for that, and where it was not played.
    """

    policy: Policy
    turns: tuple[Turn, ...]
    runs: tuple[Trial, ...]
    mean: float
    gain: Gain | None

    @property
    def seconds(self) -> float:
        """How long its runs took, each as if no other policy had needed it."""
        return sum(each.seconds for each in self.runs)


@dataclass(frozen=True)
class Backtest:
    """What was played.

    Attributes:
      name: the pipeline's name.
      metric: the task's primary metric.
      moment: when, in seconds since 1970.
      spans: the spans that were played.
      played: the policies.
      gains: what single retrainings and longer windows gained.
      settings: what of the configuration was set for it on the command line.
    """

    name: str
    metric: str
    moment: float
    spans: tuple[int, ...]
    played: tuple[Played, ...]
    gains: tuple[Gain, ...]
    settings: tuple[str, ...] = ()

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger metric is better."""
        return bool(higher_is_better(self.metric))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All models, each once."""
        return tuple({run.key: run for each in self.played for run in each.runs}.values())

    def document(self) -> dict[str, Any]:
        """The backtest as JSON holds it."""
        return {
            "name": self.name,
            "metric": self.metric,
            "moment": self.moment,
            "spans": self.spans,
            "settings": self.settings,
            "policies": [_policy(each) for each in self.played],
            "gains": [asdict(each) for each in self.gains],
        }


def outcome(
    name: str,
    metric: str,
    moment: float,
    turns: Mapping[Policy, tuple[Turn, ...]],
    trials: Mapping[Policy, tuple[Trial, ...]],
    gains: tuple[Gain, ...],
    settings: tuple[str, ...],
) -> Backtest:
    """Puts together what was found.

    Args:
      name: the pipeline's name.
      metric: the task's primary metric.
      moment: when, in seconds since 1970.
      turns: what each policy did.
      trials: the models that each policy trained.
      gains: all gains.
      settings: what was set on the command line.
    """
    over_never = {each.what: each for each in gains if each.kind == "policy"}
    played = tuple(
        Played(policy, each, trials[policy], _mean(each), over_never.get(str(policy))) for policy, each in turns.items()
    )
    spans = tuple(turn.span for turn in played[0].turns)
    return Backtest(name, metric, moment, spans, played, tuple(each for each in gains if each.kind != "policy"), settings)


def _mean(turns: tuple[Turn, ...]) -> float:
    known = [turn.quality.value for turn in turns if math.isfinite(turn.quality.value)]
    return float(np.mean(known)) if known else math.nan


def _policy(played: Played) -> dict[str, Any]:
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    return {
        "policy": str(played.policy),
        "trigger": played.policy.trigger.value,
        "window": played.policy.window or ALL,
        "runs": len(played.runs),
        "seconds": played.seconds,
        "mean": played.mean,
        "gain": asdict(played.gain) if played.gain else None,
        "spans": [
            {
                "span": turn.span,
                "value": turn.quality.value,
                "lower": turn.quality.value - half * turn.quality.error,
                "upper": turn.quality.value + half * turn.quality.error,
                "rows": turn.quality.rows,
                "trained_on": turn.spans,
                "retrained": turn.retrained,
                "reason": turn.reason,
            }
            for turn in played.turns
        ],
        "models": [{"trained_on": each.spans, "run": each.run_id, "seconds": each.seconds} for each in played.runs],
    }
