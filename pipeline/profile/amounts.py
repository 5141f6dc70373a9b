"""Columns of amounts, such as `$1,200`, `45 %` and `21.5 °C`, that can be read as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.profile.table import TableProfile

# What is left of an amount without its digits, sign, marks and spaces.
_NO_UNIT = re.compile(r"[\d.,'\u2019()+\-\s]")
_DIGIT = re.compile(r"[0-9]")


def readable_as_numbers(table: TableProfile, amounts: Mapping[str, str]) -> dict[str, str]:
    """The columns whose amounts are all of one unit: numbers would not tell dollars and euros apart.

    Args:
      table: the table, with these columns as text.
      amounts: an amount of each column whose values are all numbers or amounts, by name.

    Returns:
      Those of the amounts.
    """
    return {name: amount for name, amount in amounts.items() if len(_units(table, name)) <= 1}


def _units(table: TableProfile, name: str) -> set[str]:
    values = (value.decode(errors="replace") for value in table.sample.column(name).to_pylist() if value is not None)
    # Words for null have none, and `1 day` and `3 days` are of one.
    units = {_NO_UNIT.sub("", value) for value in values if _DIGIT.search(value)} - {""}
    return {unit.removesuffix("s") or unit for unit in units}
