"""A pass over the data, part by part, for all accumulators of a phase."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.shared.examples.splits import SplitPart

Batch = Mapping[str, npt.NDArray[np.generic]]
"""Tensors by name."""


class Deferred:
    """A value that is computed when it is first asked for."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None

    def get(self) -> Any:
        """The value."""
        if self._compute is not None:
            self._value, self._compute = self._compute(), None
        return self._value


@dataclass(frozen=True)
class Accumulator:
    """A way to accumulate batches.

    Attributes:
      name: a name that is unique to what is accumulated.
      create: makes an empty state.
      add: adds a batch to a state, and returns the state.
      merge: makes one state of several, which are not used again.
    """

    name: str
    create: Callable[[], Any]
    add: Callable[[Any, Batch], Any]
    merge: Callable[[Sequence[Any]], Any]


class Reading(Protocol):
    """The data, as a phase reads it."""

    parts: Sequence[SplitPart]

    def batches(self, part: SplitPart) -> Iterable[Batch]:
        """Reads a part."""

    def states(self, part: SplitPart, accumulators: Collection[str], read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The states of some accumulators for a part, by their names: those that were kept, or those that `read` makes."""


class Pass:
    """One reading of the data, for all accumulators that register before the first result is asked for.

    Args:
      start: opens the data.
    """

    def __init__(self, start: Callable[[], Reading]) -> None:
        self._accumulators: dict[str, Accumulator] = {}
        self._states = Deferred(lambda: self._read(start()))

    def accumulate(self, accumulator: Accumulator) -> Deferred:
        """Registers an accumulator, whose state is available at the end of the pass."""
        name = f"{accumulator.name} {sum(other.name == accumulator.name for other in self._accumulators.values())}"
        self._accumulators[name] = accumulator
        return Deferred(lambda: self._states.get()[name])

    def _read(self, reading: Reading) -> dict[str, Any]:
        names = self._accumulators.keys()
        parts = [reading.states(part, names, partial(self._read_part, reading, part)) for part in reading.parts]
        return {
            name: accumulator.merge([accumulator.create(), *(states[name] for states in parts)])
            for name, accumulator in self._accumulators.items()
        }

    def _read_part(self, reading: Reading, part: SplitPart) -> dict[str, Any]:
        states = {name: accumulator.create() for name, accumulator in self._accumulators.items()}
        for batch in reading.batches(part):
            for name, accumulator in self._accumulators.items():
                states[name] = accumulator.add(states[name], batch)
        return states
