"""Where other programs are told what happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.addresses import HttpUrl
from pipeline.config.section import Section


class Events(Section):
    """What happens, reported to other programs as CloudEvents, and runs as OpenLineage events."""

    url: Annotated[HttpUrl, Field(examples=["http://broker-ingress.knative-eventing/default/default"])] | None = None
    """Where they are posted, from this machine and from pods; none are when not given. It is kept with each run, so it must
    hold no secret."""
    openlineage: Annotated[HttpUrl, Field(examples=["http://marquez:5000/api/v1/lineage"])] | None = None
    """Where each run is sent as OpenLineage events when it ends; not at all when not given. It must hold no secret either."""
