"""The versions that serve, and the shares of the traffic that a canary is to get."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

STABLE, CANARY = "stable", "canary"
"""The labels of versions. Without a canary both name the stable version, so that no request fails because of its label."""


class Kept(BaseModel):
    """A part of the state that is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Placement(Kept):
    """The versions that serve.

    Attributes:
      stable: the version that serves; None before the first rollout, when the newest one serves.
      canary: the version that is tried.
      traffic: the percentage of requests that the canary gets; 0 without a canary, and for a shadow.
      shadow: whether the version that is tried is asked beside the stable one, and its answers are only counted and logged.
    """

    stable: Annotated[int, Field(ge=1)] | None = None
    canary: Annotated[int, Field(ge=1)] | None = None
    traffic: Annotated[int, Field(ge=0, le=99)] = 0
    shadow: bool = False

    @property
    def serving(self) -> tuple[int, ...]:
        """The versions that have to be loaded."""
        return tuple(sorted({each for each in (self.stable, self.canary) if each is not None}))

    @property
    def labels(self) -> dict[str, int]:
        """The versions by label; empty before the first rollout."""
        if self.stable is None:
            return {}
        return {STABLE: self.stable, CANARY: self.stable if self.canary is None else self.canary}

    def __str__(self) -> str:
        if self.stable is None:
            return "the newest version"
        if self.canary is None:
            return f"stable {self.stable}"
        tried = f"shadow {self.canary}" if self.shadow else f"canary {self.canary} at {self.traffic} %"
        return f"stable {self.stable}, {tried}"

    @model_validator(mode="after")
    def _holds_together(self) -> Placement:
        if (self.canary is None or self.shadow) != (self.traffic == 0):
            raise ValueError("a canary has a share of the traffic, and nothing else has")
        if self.shadow and self.canary is None:
            raise ValueError("a shadow has a version")
        if self.canary is not None and self.canary == self.stable:
            raise ValueError("the canary is the stable version")
        if self.stable is None and self.canary is not None:
            raise ValueError("there is a canary, but no stable version")
        return self


class Plan(Kept):
    """The shares of the traffic that a canary gets one after the other.

    Attributes:
      steps: the percentages of requests, each more than the one before.
      bake_seconds: how long the canary has each share at least.
    """

    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=99)], ...], Field(min_length=1)]
    bake_seconds: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _goes_up(self) -> Plan:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("each step is more than the one before")
        return self

    def __str__(self) -> str:
        return f"steps {', '.join(f'{step} %' for step in self.steps)}, {self.bake_seconds / 60:g} min each"
