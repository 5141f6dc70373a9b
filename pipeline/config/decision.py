"""From the score of a row to its class, for a label with two classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Section

_Share = Annotated[float, Field(gt=0, lt=1)]
_Cost = Annotated[float, Field(gt=0)]


class Decision(Section):
    """The score above which a row is positive, or the aim for which it is chosen."""

    threshold: _Share | None = None
    """The score above which a row is positive."""
    aim: Literal["f1", "cost"] | None = None
    """`f1`: the largest F1, the harmonic mean of precision and recall. `cost`: the smallest cost of all errors."""
    precision: _Share | None = None
    """The largest recall with at least this precision."""
    recall: _Share | None = None
    """The largest precision with at least this recall."""
    false_positive: _Cost | None = None
    """For `aim: cost`: what it costs to call a negative row positive; 1 when not given."""
    false_negative: _Cost | None = None
    """For `aim: cost`: what it costs to call a positive row negative; 1 when not given."""

    @property
    def stated(self) -> tuple[str, ...]:
        """The names of the fields that say what the threshold is or is for; none by default."""
        return tuple(name for name in ("threshold", "aim", "precision", "recall") if getattr(self, name) is not None)

    @property
    def costs(self) -> tuple[str, ...]:
        """The names of the costs that are given."""
        return tuple(name for name in ("false_positive", "false_negative") if getattr(self, name) is not None)
