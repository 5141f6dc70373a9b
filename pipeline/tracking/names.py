"""Names as MLflow takes them.

Source: `mlflow/utils/validation.py`. Names of metrics and parameters have letters, digits, `_`, `-`, `.`, blanks, `:` and `/`;
what stands before a `/` groups them, as folders group files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

LONGEST_NAME = 250
LONGEST_VALUE = 6000
"""Letters of a parameter's value."""
LONGEST_TAG = 5000
"""Letters of a tag's value."""

_OTHER = re.compile(r"[^\w.\- :]")
_Value = TypeVar("_Value")


def part(text: str) -> str:
    """A text as a part of a name between two `/`.

    Args:
      text: any text, such as the value of a slice.
    """
    # MLflow refuses what a path could be written shorter for, such as `a/../b`.
    return _OTHER.sub("_", text).strip() or "_"


def shortened(text: str, most: int) -> str:
    """A text of so many letters at most."""
    return text if len(text) <= most else text[: most - 1] + "…"


def distinct(pairs: Iterable[tuple[str, _Value]]) -> Mapping[str, _Value]:
    """Values by names of their own: of those that have become the same, the second gets a 2, and so on.

    Args:
      pairs: names and values.
    """
    return dict(_numbered(pairs))


def _numbered(pairs: Iterable[tuple[str, _Value]]) -> Iterator[tuple[str, _Value]]:
    seen: set[str] = set()
    for long, value in pairs:
        # Room for a number.
        stem = long[: LONGEST_NAME - 8]
        name, number = stem, 1
        while name in seen:
            number += 1
            name = f"{stem} {number}"
        seen.add(name)
        yield name, value
