"""How the rows of a table are divided into those to train on and those to evaluate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config import Split


@dataclass(frozen=True)
class SplitChoice:
    """How rows are divided.

    Attributes:
      setting: the section `data.split` of the configuration; empty for the default.
      reason: a sentence that says why; empty for the default.
    """

    setting: Mapping[str, object]
    reason: str


def by_span(spans: int) -> SplitChoice:
    """The split of a table whose files are spans: the newest are evaluated on.

    Args:
      spans: how many there are, at least 2.
    """
    evaluated = max(1, round(Split().eval_fraction * spans))
    setting: dict[str, object] = {"method": "window", "train_spans": spans - evaluated}
    if evaluated > 1:
        setting["eval_spans"] = evaluated
    newest = "the newest span" if evaluated == 1 else f"the {evaluated} newest"
    return SplitChoice(setting, f"The files are spans: train on the earlier ones, evaluate on {newest}.")
