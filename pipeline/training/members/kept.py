"""Trees that an interrupted training had finished, and that need not be trained again.

They are kept whole: what LightGBM saves does not say where its choices of rows and columns at random stand, so trees that
were continued would be others than those of a training without interruption.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.training.checkpoints import Checkpoint
from pipeline.training.members.boosting import Boosted
from pipeline.util.notes import note


class KeptTrees:
    """The trees of one training, in the order in which they are trained.

    Args:
      checkpoint: where they are kept; None to keep none.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._found: list[Any] = (None if checkpoint is None else checkpoint.load()) or []
        self._done: list[Boosted] = []
        if self._found:
            note(f"An earlier training was interrupted: {len(self._found)} of its sets of trees are not trained again.")

    def of(self, train: Callable[[], Boosted]) -> Boosted:
        """The next trees: as they were kept, or newly trained.

        Args:
          train: trains them.
        """
        position = len(self._done)
        if position < len(self._found):
            self._done.append(Boosted.of_text(*self._found[position]))
        else:
            self._done.append(train())
            if self._checkpoint is not None:
                self._checkpoint.keep(lambda: [[each.text, each.num_numbers] for each in self._done])
        return self._done[-1]
