"""When a model is retrained without anybody asking for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.config.evaluation import Bounds
from pipeline.config.section import Section


def _rising(steps: tuple[int, ...]) -> tuple[int, ...]:
    if list(steps) != sorted(set(steps)):
        raise ValueError("each step has to be more than the one before, such as [1, 10, 50]")
    return steps


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
    replay: bool = True
    """Ask a pushed version what the stable one was asked in the last seven days, where that was logged. One that is worse is
    not tried."""
    shadow: bool = False
    """Then have the gateways ask it beside the stable version, before callers get its answers."""
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=99)], ...], Field(min_length=1), AfterValidator(_rising)] = (10,)
    """The percentages of requests that a pushed version gets as the canary, one after the other; each is judged by itself."""
    bake_minutes: Annotated[float, Field(ge=0)] = 30
    """How long it is a shadow, and has each of its shares, at least."""
