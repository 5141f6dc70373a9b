"""A version that is asked what was asked before: its answers, and what they count for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError
from serving.client import NOT_FINITE, Address, Client, Prediction
from serving.errors import DeadlineError, ServerAwayError, UnknownModelError
from serving.rollout.counts import SCORE_BOUNDS, VALUE_BOUNDS, Counts

if TYPE_CHECKING:
    from typing_extensions import Self

_SECONDS = tuple(0.0005 * 1.2**step for step in range(64))

Row = Mapping[str, Any]


class AskedVersion:
    """One version of a model at a model server, for as long as a `with` block lasts.

    Args:
      server: host:port of its gRPC interface.
      model: the model's name.
      version: the version.

    Attributes:
      version: the version.
      features: the names of the features that it takes.
      failures: what it said to rows that it did not answer, with how many there were.
    """

    def __init__(self, server: str, model: str, version: int) -> None:
        self.version = version
        self._client = Client(Address("grpc", server, model, version=version))
        self.features: frozenset[str] = frozenset()
        self.failures: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._seconds, self._scores, self._values = ([0] * (len(each) + 1) for each in (_SECONDS, SCORE_BOUNDS, VALUE_BOUNDS))
        self._answered = 0

    def __enter__(self) -> Self:
        self.features = frozenset(self._client.schema().features)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def warm_up(self, rows: Sequence[Row]) -> None:
        """Asks without counting: a first call is slow."""
        with suppress(ConveyorError):
            self._client.predict(self._known(rows))

    def ask(self, rows: Sequence[Row], *, timed: bool) -> list[Prediction | None]:
        """The predictions for rows in one call, None for a row that it does not answer.

        Args:
          rows: values by feature; those that the version does not take are left out.
          timed: whether the call counts for its latency.

        Raises:
          ServerAwayError: the server is away.
          UnknownModelError: it does not serve the version.
        """
        # Where it fails, each row is asked alone, so that one does not spoil the others; not where it takes too long.
        try:
            predictions = self._client.predict(self._known(rows))
        except (ServerAwayError, UnknownModelError):
            raise
        except ConveyorError as error:
            if len(rows) > 1 and not isinstance(error, DeadlineError):
                return [answer for row in rows for answer in self.ask([row], timed=False)]
            return self._failed(error, len(rows))
        if timed:
            self._seconds[bisect_left(_SECONDS, predictions[0].latency)] += 1
        return [self._counted(prediction) for prediction in predictions]

    def counts(self, same: int, other: int) -> Counts:
        """What it has answered, as gateways count it.

        Args:
          same: the rows that another version has answered alike.
          other: those that it has answered otherwise.
        """
        numbers, bounds = (self._values, VALUE_BOUNDS) if any(self._values) else (self._scores, SCORE_BOUNDS)
        return Counts(
            ok=self._answered,
            errors=sum(self.failures.values()),
            durations=_cumulative(self._seconds, _SECONDS),
            classes=dict(self._classes),
            scores=_cumulative(numbers, bounds),
            same=same,
            other=other,
        )

    def _known(self, rows: Sequence[Row]) -> list[Row]:
        return [{name: value for name, value in row.items() if name in self.features} for row in rows]

    def _counted(self, prediction: Prediction) -> Prediction | None:
        if not prediction.is_finite:
            self.failures[NOT_FINITE] += 1
            return None
        self._answered += 1
        if prediction.value is not None:
            self._values[bisect_left(VALUE_BOUNDS, prediction.value)] += 1
        else:
            self._classes[str(prediction.label)] += 1
            self._scores[bisect_left(SCORE_BOUNDS, score_of(prediction))] += 1
        return prediction

    def _failed(self, error: ConveyorError, rows: int) -> list[Prediction | None]:
        self.failures[error.what] += rows
        return [None] * rows


def score_of(prediction: Prediction) -> float:
    """The number of an answer: a regression's, the score of the positive class, or of several the probability of the label."""
    if prediction.value is not None:
        return prediction.value
    return prediction.score if prediction.score is not None else max(prediction.probabilities)


def _cumulative(counts: Sequence[int], bounds: Sequence[float]) -> dict[float, int]:
    return dict(zip((*bounds, float("inf")), accumulate(counts), strict=True)) if any(counts) else {}
