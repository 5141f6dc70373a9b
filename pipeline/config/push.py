"""Where models go, and the last check before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Section


class InfraValidator(Section):
    """The candidate is loaded and answers real requests before it is pushed."""

    enabled: bool = True
    """Validate at all."""
    runner: Literal["auto", "docker", "process"] = "auto"
    """`docker`: TensorFlow Serving in a container. `process`: a process of its own. `auto`: docker where the image is there."""
    requests: Annotated[int, Field(ge=1)] = 100
    """How many rows of the evaluation split the candidate must answer."""
    timeout_seconds: Annotated[int, Field(ge=1)] = 120
    """Seconds to load and to answer."""
    image: str = "tensorflow/serving:2.20.0"
    """docker: the image that serves."""


class Push(Section):
    """Where blessed models go."""

    destination: str = "{workspace}/models/{name}"
    """The folder that the model server watches; each push is a numbered folder in it."""
