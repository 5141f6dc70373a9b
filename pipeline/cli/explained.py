"""Explained predictions on a terminal: what each feature adds, with bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.output import new_table, print_table

if TYPE_CHECKING:
    from rich.text import Text

    from serving.client import Explanation, Prediction

_SHOWN_ROWS, _SHOWN_FEATURES = 10, 10
_SHOWN_CHARACTERS, _BAR_CHARACTERS = 40, 12


def print_explained(predictions: Sequence[Prediction], rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the first predictions, each with a table of the features that contribute most.

    Args:
      predictions: the predictions with their explanations.
      rows: the rows as they were given.
    """
    from pipeline.report import formats

    for number, (one, row) in enumerate(zip(predictions[:_SHOWN_ROWS], rows, strict=False), start=1):
        if one.explanation is None:
            continue
        explained = {"score": one.score, "probability": one.probability, "prediction": one.value}[one.explanation.of]
        label = "" if one.value is not None else f"prediction {one.label}, "
        average = formats.metric(one.explanation.average)
        print(f"row {number}: {label}{one.explanation.of} {formats.metric(explained)}, on average {average}")
        _print_contributions(one.explanation, row)
        print()
    if len(predictions) > _SHOWN_ROWS:
        print(f"… and {len(predictions) - _SHOWN_ROWS:,} more; --output json prints them all")


def _print_contributions(explanation: Explanation, row: Mapping[str, Any]) -> None:
    from pipeline.report import formats

    table = new_table("feature", "value", "contribution", "", right=("value", "contribution"))
    shown, others = explanation.contributions[:_SHOWN_FEATURES], explanation.contributions[_SHOWN_FEATURES:]
    lines = [
        (each.feature, formats.DASH if each.value is None else _shown(row[each.feature]), each.contribution) for each in shown
    ]
    if others:
        lines.append((f"{len(others)} others", "", sum(each.contribution for each in others)))
    greatest = max(abs(contribution) for _, _, contribution in lines)
    for name, value, contribution in lines:
        table.add_row(name, value, formats.difference(contribution), _bar(contribution, greatest))
    print_table(table)


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _bar(contribution: float, greatest: float) -> Text:
    """A bar to the right of a line for what adds to the prediction, to its left for what takes from it."""
    from rich.text import Text

    blocks = "█" * round(_BAR_CHARACTERS * abs(contribution) / greatest) if greatest else ""
    left, right = ("", blocks) if contribution > 0 else (blocks, "")
    return Text.assemble((left.rjust(_BAR_CHARACTERS), "red"), "│", (right.ljust(_BAR_CHARACTERS), "green"))
