"""Output in the forms that several commands share: JSON for programs, tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def print_json(document: Any) -> None:
    """Prints a document as JSON, as `to_json` makes it."""
    print(to_json(document))


def to_json(document: Any) -> str:
    """A document as JSON; null stands for NaN and infinity, which JSON cannot hold."""
    import json

    return json.dumps(_without_nan(document), indent=2, ensure_ascii=False, allow_nan=False)


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table.

    Args:
      columns: the headings.
      right: the headings of the columns that hold numbers.
    """
    from rich.table import Table

    empty = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        # Paths may be long: they are folded, not cut, so that they can be copied.
        empty.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return empty


def print_table(filled: Table) -> None:
    """Prints a table; without a terminal, one line for each row, for programs that read the lines."""
    import sys

    from rich.console import Console

    # Without a terminal rich folds at 80 columns.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 240).print(filled)


def _without_nan(document: Any) -> Any:
    import math

    if isinstance(document, dict):
        return {name: _without_nan(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document
