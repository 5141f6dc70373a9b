"""The answers of two versions to the same rows, compared: all together, by slice, and by what really came."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from components.evaluator.significance import gain_interval, metric_of
from components.evaluator.sums import FloatArray
from pipeline.config import PipelineConfig, Task
from pipeline.config.consistency import METRICS
from pipeline.contracts.metrics import higher_is_better
from pipeline.replay.asked import Row, score_of
from serving.client import Prediction
from serving.rollout.counts import answer_of

ALL = "all"
_Key = tuple[tuple[str, ...], str]
"""The columns that rows have in common, and their values."""
_TOTAL: _Key = (), ""
_MOST_GROUPS = 1000
_EXAMPLES = 5


@dataclass(frozen=True)
class Flip:
    """A row that the candidate answers otherwise.

    Attributes:
      row: which one, as REQUEST/NUMBER.
      stable: the stable version's class or number.
      candidate: the candidate's.
      stable_score: the probability of the positive class, or of the predicted one; the number of a regression.
      candidate_score: the candidate's.
      features: the row as it was logged.
    """

    row: str
    stable: str
    candidate: str
    stable_score: float
    candidate_score: float
    features: dict[str, Any]


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common.

    Attributes:
      by: the columns; `all` for all rows.
      value: their values.
      rows: the rows that both versions have answered.
      flips: those that the candidate answers otherwise.
      labelled: those of which it is known what really came.
      metric: the primary metric.
      stable: that of the stable version; NaN where the labels do not tell.
      candidate: that of the candidate.
      gain: by how much the candidate is better, negative where it is worse.
      lower: the lower end of the gain's interval.
      upper: its upper end.
    """

    by: str
    value: str
    rows: int
    flips: int
    labelled: int
    metric: str
    stable: float
    candidate: float
    gain: float
    lower: float
    upper: float


class _Group:
    def __init__(self) -> None:
        self.rows = self.flips = 0
        self.stable, self.candidate = Sample(), Sample()


@dataclass(frozen=True)
class Answered:
    """A row that both versions have answered.

    Attributes:
      name: which one, as REQUEST/NUMBER.
      row: its features.
      stable: the stable version's answer.
      candidate: the candidate's.
      label: what really came, as text; None where that is not known.
    """

    name: str
    row: Row
    stable: Prediction
    candidate: Prediction
    label: str | None

    @property
    def is_flip(self) -> bool:
        """Whether the candidate answers otherwise."""
        one, other = (answer_of(each.label, each.value) for each in (self.stable, self.candidate))
        return one != other


class Comparison:
    """Two versions' answers, added row by row; memory grows with labelled rows alone, by a few bytes each.

    Args:
      config: the pipeline's configuration, with the slices.
      classes: the label values of the stable version and of the candidate by class index, as text; empty for a regression.

    Attributes:
      unusable: rows whose label is no class or number of the model.
      overflowing: the slices of which further values are left out.
    """

    def __init__(self, config: PipelineConfig, classes: tuple[Sequence[str], Sequence[str]]) -> None:
        self._config, self._metric = config, METRICS[config.task][0]
        self._classes = [{name: number for number, name in enumerate(each)} for each in classes]
        self._groups: dict[_Key, _Group] = {}
        self._examples: list[tuple[float, str, int, Flip]] = []
        self._flips = 0
        self.unusable = 0
        self.overflowing: set[str] = set()

    @property
    def all(self) -> _Group:
        """All rows together."""
        return self._groups.get(_TOTAL, _Group())

    def add(self, answers: Sequence[Answered]) -> None:
        """Adds rows."""
        labels = [None if each.label is None else self._numbers(each.label) for each in answers]
        self.unusable += sum(label is None and each.label is not None for label, each in zip(labels, answers, strict=True))
        for group, places in self._grouped(answers):
            group.rows += len(places)
            group.flips += sum(answers[place].is_flip for place in places)
            labelled = [place for place in places if labels[place] is not None]
            if labelled:
                of_stable, of_candidate = np.array([labels[place] for place in labelled]).T
                group.stable.add(_predicted([answers[place].stable for place in labelled], of_stable))
                group.candidate.add(_predicted([answers[place].candidate for place in labelled], of_candidate))
        for each in answers:
            if each.is_flip:
                self._remember(each)

    def slices(self) -> list[Slice]:
        """All rows, then the slices, those with the greatest share of flips first."""
        by_flips = sorted(self._groups.items(), key=lambda each: (each[0] != _TOTAL, -each[1].flips / each[1].rows))
        return [self._slice(", ".join(columns) or ALL, value, group) for (columns, value), group in by_flips]

    def flips(self) -> list[Flip]:
        """The rows whose answers differ most."""
        return [flip for *_, flip in sorted(self._examples, reverse=True)]

    def _grouped(self, answers: Sequence[Answered]) -> Iterator[tuple[_Group, list[int]]]:
        """The groups that some rows belong to, with the places of their rows."""
        places: dict[_Key, list[int]] = defaultdict(list)
        for place, each in enumerate(answers):
            places[_TOTAL].append(place)
            for columns in self._config.evaluation.sliced_by:
                values = [each.row.get(name) for name in columns]
                if None not in values:
                    places[tuple(columns), ", ".join(map(str, values))].append(place)
        for key, those in places.items():
            if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
                self.overflowing.add(", ".join(key[0]))
            else:
                yield self._groups.setdefault(key, _Group()), those

    def _numbers(self, label: str) -> tuple[float, float] | None:
        """A label as each version numbers it; a class that only the other one knows comes behind all of its own."""
        if self._config.task is Task.REGRESSION:
            try:
                number = float(label)
            except ValueError:
                return None
            return (number, number) if math.isfinite(number) else None
        known = sum(label in each for each in self._classes)
        # The ranks of AUC are those of the two classes alone.
        if known == 2 or (known and self._metric != "auc"):
            stable, candidate = (float(each.get(label, len(each))) for each in self._classes)
            return stable, candidate
        return None

    def _remember(self, answer: Answered) -> None:
        one, other = score_of(answer.stable), score_of(answer.candidate)
        entry = (abs(other - one), answer.name)
        if len(self._examples) == _EXAMPLES and entry <= self._examples[0][:2]:
            return
        flip = Flip(answer.name, _shown(answer.stable), _shown(answer.candidate), one, other, dict(answer.row))
        # Rows may have the same name and differ alike: flips have no order.
        self._flips += 1
        heapq.heappush(self._examples, (*entry, self._flips, flip))
        if len(self._examples) > _EXAMPLES:
            heapq.heappop(self._examples)

    def _slice(self, by: str, value: str, group: _Group) -> Slice:
        metric, labelled = self._metric, len(group.stable)
        stable = candidate = gain = lower = upper = math.nan
        if labelled and (metric != "auc" or len(np.unique(group.stable.labels)) > 1):
            stable, candidate = metric_of(metric, group.stable), metric_of(metric, group.candidate)
            gain = candidate - stable if higher_is_better(metric) else stable - candidate
            confidence = self._config.evaluation.confidence
            with np.errstate(all="ignore"):
                lower, upper = gain_interval(metric, gain, group.candidate, group.stable, confidence)
        return Slice(by, value, group.rows, group.flips, labelled, metric, stable, candidate, gain, lower, upper)


def _predicted(predictions: Sequence[Prediction], labels: FloatArray) -> PredictedRows:
    first = predictions[0]
    of_classes = first.value is None and first.score is None
    # Behind the classes of the model stands one that it does not know, and never answers with.
    outputs = [[*each.probabilities, 0.0] if of_classes else [score_of(each)] for each in predictions]
    known = labels if first.value is not None else labels.astype(np.int64)
    return PredictedRows(known, np.array(outputs, np.float32), np.ones(len(labels)))


def _shown(prediction: Prediction) -> str:
    return str(prediction.label) if prediction.value is None else f"{prediction.value:.6g}"
