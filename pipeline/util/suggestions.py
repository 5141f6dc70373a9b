"""The name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that comes closest to what was typed.

    Args:
      name: what was typed.
      known: the names that exist.
      cutoff: how similar they must be, from 0 to 1: the ratio of `difflib.SequenceMatcher`, whose default is 0.6.

    Returns:
      The name, or None where nothing comes close.
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names what comes closest, such as "Did you mean 'Trainer'?".

    Args:
      name: what was typed.
      known: the names that exist.
      cutoff: as for `closest`.

    Returns:
      The question, or an empty string where nothing comes close.
    """
    found = closest(name, known, cutoff)
    return "" if found is None else f"Did you mean {found!r}?"
