"""When a model is retrained without anybody asking for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.evaluation import Bounds
from pipeline.config.section import Section


class Loop(Section):
    """When `conveyor loop` runs the pipeline, and how it brings a pushed version into use."""

    new_span: bool = True
    """Run when a span has come that is newer than those that the newest version was made from."""
    settle_minutes: Annotated[float, Field(ge=0)] = 10
    """A span has come whole when its files have not changed for so many minutes."""
    drift: bool = True
    """Run when what was served in the last seven days has drifted, beyond `monitoring`, in columns that the model leans on."""
    quality: Bounds | None = None
    """Run when the primary metric of the labelled rows of the last 30 days is out of these bounds, with its whole interval of
    95 %. Never when not given."""
    max_age_days: Annotated[float, Field(gt=0)] | None = None
    """Run when the version that serves was pushed longer ago than this. Never when not given."""
    rest_hours: Annotated[float, Field(ge=0)] = 24
    """For drift, quality and age, the hours that pass after a run before the next: there is no new span to learn from."""
    approve: bool = False
    """Wait for `conveyor approve` before a version comes into use: before it becomes the canary or, where there has been no
    rollout and the newest version serves, before the run."""
    traffic: Annotated[int, Field(ge=1, le=99)] = 10
    """The percentage of requests that a pushed version gets as the canary."""
    bake_minutes: Annotated[float, Field(ge=0)] = 30
    """How long a canary runs before it can be promoted."""
