"""Words among numbers that stand for no value, such as `n.d.` and `ERR`."""

from __future__ import annotations

import re
from collections import Counter

from components.example_gen.text.notation import Notation
from pipeline.profile.table import TableProfile

_DIGIT = re.compile(r"\d")
_MOST_WORDS, _MOST_SHARE = 3, 0.1
# Numbers of fewer values may be names, as grades from 1 to 12 beside K.
_FEWEST_NUMBERS = 20


def placeholders(table: TableProfile, label: str | None) -> dict[str, list[str]]:
    """The words without a digit that a few rows of a column have, of which the others have a digit and differ.

    Whether the others are numbers shows when they are read so. A word that is also a value of another column of text is left
    alone, since a word for null is one in every column.

    Args:
      table: the table.
      label: the column that is predicted, which is left alone; None where that is not known yet.

    Returns:
      The words by the name of the column, as they are written, in the order of the alphabet.
    """
    texts = {
        name: Counter(value.decode(errors="replace") for value in column.to_pylist() if value is not None)
        for name, column in zip(table.sample.column_names, table.sample.columns, strict=True)
        if table.columns[name].words and not table.columns[name].is_list
    }
    found = {name: words for name, values in texts.items() if name != label and (words := _words(values))}
    return {
        name: words
        for name, words in found.items()
        if not any(word in values for word in words for other, values in texts.items() if word not in found.get(other, ()))
    }


def _words(values: Counter[str]) -> list[str]:
    words = {
        value: rows
        for value, rows in values.items()
        if not _DIGIT.search(value) and value.strip().lower() not in Notation().nulls
    }
    is_rare = sum(words.values()) <= _MOST_SHARE * values.total()
    return sorted(words) if 0 < len(words) <= _MOST_WORDS and is_rare and len(values) - len(words) >= _FEWEST_NUMBERS else []
