"""What differs between runs, as rows that every form of a comparison shows alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report import formats

NONE = formats.DASH
"""What stands for a value that a run does not have."""


@dataclass(frozen=True)
class Difference:
    """Something that differs between runs.

    Attributes:
      subject: what differs, such as `training.epochs`.
      values: what each run has, as data; None where a run has none.
      shown: the values as text.
      change: how far the last run is from the first, as text; empty where that says nothing.
      trend: `better`, `worse` or empty.
    """

    subject: str
    values: tuple[Any, ...]
    shown: tuple[str, ...]
    change: str = ""
    trend: str = ""


@dataclass(frozen=True)
class Section:
    """Differences of one kind.

    Attributes:
      name: for programs, such as `data`.
      title: for people.
      rows: the differences; empty where there are none.
      notes: what a person has to know to read them, in sentences.
    """

    name: str
    title: str
    rows: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Whether a row says how far the last run is from the first."""
        return any(row.change for row in self.rows)


def difference(subject: str, values: Sequence[Any], show: Callable[[Any], str] = str) -> Difference | None:
    """A difference; None where all runs have the same.

    Args:
      subject: what is compared.
      values: what each run has; None for nothing.
      show: makes a value text.
    """
    if all(value == values[0] for value in values):
        return None
    return Difference(subject, tuple(values), tuple(NONE if value is None else show(value) for value in values))


def kept(rows: Iterable[Difference | None]) -> tuple[Difference, ...]:
    """The rows that are differences."""
    return tuple(row for row in rows if row is not None)
