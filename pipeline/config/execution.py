"""How nodes are run on this machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.beam import Beam
from pipeline.config.section import Section


class Execution(Section):
    """How nodes are run on this machine."""

    cache: bool = True
    """Reuse the outputs of a node whose inputs, settings and code are the same as before. A node that runs takes over, in any
    case, what earlier runs made of spans with the same content."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Nodes that may run side by side, each in a process of its own."""
    beam: Beam = Beam()
    """How Apache Beam runs the nodes that use it."""
