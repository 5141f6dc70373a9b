"""A backtest from the configuration to what it has found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from components.evaluator.sample import Sample
from components.evaluator.significance import metric_of, standard_error
from pipeline.backtest.drift import DriftWatch
from pipeline.backtest.gains import gains
from pipeline.backtest.history import History, folder_of
from pipeline.backtest.outcome import Backtest, outcome
from pipeline.backtest.play import Quality, models_of, play
from pipeline.backtest.policies import Policy
from pipeline.backtest.predictions import Predictions
from pipeline.backtest.trials import Trial, Trials
from pipeline.config import PipelineConfig
from pipeline.config.consistency import METRICS
from pipeline.local.runner import Observer


def backtest(
    config: PipelineConfig,
    history: History,
    policies: Sequence[Policy],
    *,
    observed: Callable[[], AbstractContextManager[Observer]],
    trained: Callable[[Trial], None] = lambda trial: None,
    begun: Callable[[int], None] = lambda span: None,
    settings: Sequence[str] = (),
) -> Backtest:
    """Plays policies over the past. What an earlier backtest has trained and judged is used again.

    Args:
      config: the pipeline's configuration.
      history: the spans.
      policies: the policies.
      observed: returns a context with an observer of one run.
      trained: called with each model that was trained.
      begun: called before each span.
      settings: what was set on the command line, to be told with the result.

    Raises:
      ConveyorError: a run failed, or rows or models cannot be read.
      KeyboardInterrupt: it was interrupted; the same backtest goes on from there.
    """
    metric = METRICS[config.task][0]
    past = _Past(Trials(config, history, folder_of(config), observed, trained), metric)
    turns = play(policies, history.spans, history.played, metric, past, begun)
    trials = {policy: tuple(map(past.trials.train, models)) for policy, models in models_of(turns).items()}
    found = gains(turns, metric, past)
    return outcome(config.name, metric, time.time(), turns, trials, found, tuple(settings))


class _Past:
    """What would have happened, trained and judged as it is asked for."""

    def __init__(self, trials: Trials, metric: str) -> None:
        self.trials = trials
        self._metric = metric
        self._predictions = Predictions(trials)
        self._watch = DriftWatch(trials, self._predictions)
        self._qualities: dict[tuple[tuple[int, ...], int], Quality] = {}

    def sample(self, spans: Sequence[int], span: int) -> Sample:
        return self._predictions.sample(self.trials.train(spans), span)

    def quality(self, spans: Sequence[int], span: int) -> Quality:
        key = tuple(spans), span
        if key not in self._qualities:
            sample = self.sample(spans, span)
            value = metric_of(self._metric, sample)
            error = standard_error(self._metric, sample) if math.isfinite(value) else math.inf
            self._qualities[key] = Quality(value, error, len(sample))
        return self._qualities[key]

    def drifted(self, spans: Sequence[int], span: int) -> tuple[str, ...]:
        return self._watch.drifted(self.trials.train(spans), span)
