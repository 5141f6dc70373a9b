"""What the resources of pods cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.kubernetes import ExtendedResource
from pipeline.config.section import Section

_Price = Annotated[float, Field(ge=0)]


class Prices(Section):
    """What the resources of pods cost, for `conveyor show --cost`: a cloud's list, or what machines of your own cost."""

    currency: Annotated[str, Field(max_length=12, examples=["EUR"])] = ""
    """The currency of the prices, written behind amounts."""
    cpu_hour: _Price | None = None
    """A core for an hour."""
    gib_hour: _Price | None = None
    """A GiB of memory for an hour."""
    accelerator_hour: dict[ExtendedResource, _Price] = Field(default_factory=dict)
    """An accelerator for an hour, by its name as a resource: {nvidia.com/gpu: 0.7}."""
