"""The name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names what comes closest, such as "Did you mean 'Trainer'?".

    Args:
      name: what was typed.
      known: the names that exist.
      cutoff: how similar they must be, from 0 to 1: the ratio of `difflib.SequenceMatcher`, whose default is 0.6.

    Returns:
      The question, or an empty string where nothing comes close.
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"Did you mean {close[0]!r}?" if close else ""
