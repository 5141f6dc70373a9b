"""How the rows that are served are watched."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.section import Section


class Monitoring(Section):
    """When a difference between the rows of now and those of training is drift."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.99
    """How sure it must be, over all columns at once, that a difference is more than chance, from 0 to 1."""
    min_difference: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A difference that does not matter, however sure it is: of shares, or a Jensen-Shannon divergence in bits. A
    `skew_comparator` in the schema sets that of a column's values."""
