"""The state machine of a rollout: the version that serves, the version that is tried, and the history of both.

A candidate is started and becomes the canary; a canary is promoted and becomes the stable version, or is aborted. From a stable
version a rollback leads to the one before it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import UsageError
from serving.rollout.counts import Snapshot

STABLE, CANARY = "stable", "canary"
"""The labels of versions. Without a canary both name the stable version, so that no request fails because of its label."""


class Stage(str, Enum):
    """The stage of a version in the rollout."""

    CANDIDATE = "candidate"
    """None of the other stages: usually it was just pushed."""
    CANARY = "canary"
    """It gets a share of the traffic."""
    STABLE = "stable"
    """It gets the rest."""
    PREVIOUS = "previous"
    """It was stable and good: a rollback can return to it."""
    ABORTED = "aborted"
    """It was a canary, and not promoted."""
    RETIRED = "retired"
    """It was rolled back from."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Placement(_Model):
    """The versions that serve.

    Attributes:
      stable: the version that serves; None before the first rollout, when the newest one serves.
      canary: the version that is tried.
      traffic: the percentage of requests that the canary gets; 0 without a canary.
    """

    stable: Annotated[int, Field(ge=1)] | None = None
    canary: Annotated[int, Field(ge=1)] | None = None
    traffic: Annotated[int, Field(ge=0, le=99)] = 0

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
        return f"stable {self.stable}" + ("" if self.canary is None else f", canary {self.canary} at {self.traffic} %")

    @model_validator(mode="after")
    def _holds_together(self) -> Placement:
        if (self.canary is None) != (self.traffic == 0):
            raise ValueError("a canary has a share of the traffic, and nothing else has")
        if self.canary is not None and self.canary == self.stable:
            raise ValueError("the canary is the stable version")
        if self.stable is None and self.canary is not None:
            raise ValueError("there is a canary, but no stable version")
        return self


class RolloutChange(_Model):
    """One step of the rollout's history.

    Attributes:
      at: the time, with the time zone.
      who: the person, as user@machine.
      action: `start`, `promote`, `abort`, `rollback` or `prune`.
      reason: the person's reason; may be empty.
      versions: the versions that it is about.
      before: the placement until then.
      after: the placement since.
    """

    at: datetime
    who: str
    action: str
    reason: str = ""
    versions: tuple[int, ...] = ()
    before: Placement
    after: Placement


class RolloutState(Placement):
    """The whole state of a model's rollout; the empty state means that there has been no rollout.

    Attributes:
      previous: good versions to roll back to, the latest last.
      since: the gateways' counters when the canary started; None where no gateway answered.
      changes: the history, the latest last.
    """

    previous: tuple[int, ...] = ()
    since: Snapshot | None = None
    changes: tuple[RolloutChange, ...] = ()

    @model_validator(mode="after")
    def _previous_versions_are_others(self) -> RolloutState:
        if len(set(self.previous)) != len(self.previous) or self.stable in self.previous:
            raise ValueError("previous names a version twice, or the stable one")
        if self.stable is None and self.previous:
            raise ValueError("there are previous versions, but no stable one")
        return self

    @property
    def placement(self) -> Placement:
        """The versions that serve."""
        return Placement(stable=self.stable, canary=self.canary, traffic=self.traffic)

    @property
    def protected(self) -> frozenset[int]:
        """The versions that must stay on the disk: those that serve, and the one to roll back to."""
        return frozenset((*self.serving, *self.previous[-1:]))

    def stage(self, version: int) -> Stage:
        """The stage of a version in the rollout."""
        if version == self.stable:
            return Stage.STABLE
        if version == self.canary:
            return Stage.CANARY
        if version in self.previous:
            return Stage.PREVIOUS
        for change in reversed(self.changes):
            if change.before.canary == version and change.after.canary is None:
                return Stage.ABORTED
            if change.before.stable == version and change.after.stable != version:
                return Stage.RETIRED
        return Stage.CANDIDATE

    def start(self, version: int, traffic: int, existing: Collection[int], **by: str) -> RolloutState:
        """A version becomes the canary.

        Args:
          version: the candidate.
          traffic: the percentage of requests that it is to get, 1 to 99.
          existing: the versions that are whole. Before the first rollout the newest of the others becomes the stable one.
          by: `who` and `reason`.

        Raises:
          UsageError: the version cannot become the canary.
        """
        if not 1 <= traffic <= 99:
            raise UsageError(
                "A canary cannot have this share of the traffic.",
                where="--traffic",
                expected="1 to 99 percent; the stable version gets the rest",
                seen=str(traffic),
                fix="To give a canary all of the traffic: conveyor rollout promote",
            )
        if self.canary is not None:
            raise UsageError(
                "There is a canary in progress already.",
                expected="one canary at a time, so that the cause of a difference is clear",
                seen=str(self),
                fix="End it first: conveyor rollout promote, or conveyor rollout abort",
            )
        require_version(version, existing)
        if version == self.stable:
            raise UsageError(f"Version {version} is the stable one already.", seen=str(self), fix="Name another version.")
        stable = self.stable or max((each for each in existing if each != version), default=None)
        if stable is None:
            raise UsageError(
                f"Version {version} is the only one: no other could serve beside the canary.",
                expected="two versions or more",
                seen=_listed(existing),
                fix="The first version serves by itself; push a second one with conveyor run.",
            )
        if self.stable is not None:
            require_version(stable, existing)
        return self._changed("start", (version,), by, stable=stable, canary=version, traffic=traffic)

    def promote(self, **by: str) -> RolloutState:
        """The canary becomes the stable version; the one that was stable can be rolled back to.

        Raises:
          UsageError: there is no canary.
        """
        canary = self._canary("promote")
        previous = (*(each for each in self.previous if each != canary), *((self.stable,) if self.stable else ()))
        return self._changed("promote", (canary,), by, stable=canary, previous=previous, **_NO_CANARY)

    def abort(self, **by: str) -> RolloutState:
        """The canary gets no more traffic.

        Raises:
          UsageError: there is no canary.
        """
        return self._changed("abort", (self._canary("abort"),), by, **_NO_CANARY)

    def rollback(self, existing: Collection[int], **by: str) -> RolloutState:
        """Back to the last good version: a canary ends; without one, the stable version gives way to the one before it.

        Args:
          existing: the versions that are whole: the others are passed over.
          by: `who` and `reason`.

        Raises:
          UsageError: there is no version to go back to.
        """
        if self.canary is not None:
            return self._changed("rollback", (self.canary,), by, **_NO_CANARY)
        previous = [each for each in self.previous if each in existing]
        if not previous or self.stable is None:
            raise UsageError(
                "There is no version to roll back to.",
                expected="a version that was stable before this one, and is still there",
                seen=f"{self}; versions that are there: {_listed(existing)}",
                fix="To try any version that is there: conveyor rollout start VERSION",
            )
        return self._changed("rollback", (self.stable,), by, stable=previous[-1], previous=tuple(previous[:-1]))

    def prune(self, versions: Collection[int], **by: str) -> RolloutState:
        """Versions are about to be deleted.

        Args:
          versions: the versions to delete.
          by: `who` and `reason`.

        Raises:
          UsageError: one of the versions has to stay.
        """
        if kept := self.protected & set(versions):
            raise UsageError(
                f"Version {_listed(kept)} has to stay.",
                seen=str(self),
                fix="Leave it out: it serves, or a rollback would return to it.",
            )
        previous = tuple(each for each in self.previous if each not in versions)
        return self._changed("prune", tuple(sorted(versions)), by, previous=previous)

    def _canary(self, action: str) -> int:
        if self.canary is None:
            raise UsageError(
                f"There is no canary to {action}.",
                seen=str(self),
                fix="Start one: conveyor rollout start VERSION --traffic PERCENT",
            )
        return self.canary

    def _changed(self, action: str, versions: tuple[int, ...], by: dict[str, str], **fields: Any) -> RolloutState:
        placement = {"stable": self.stable, "canary": self.canary, "traffic": self.traffic}
        after = {name: fields.get(name, value) for name, value in placement.items()}
        change = RolloutChange(
            at=datetime.now(timezone.utc),
            action=action,
            versions=versions,
            before=self.placement,
            after=Placement.model_validate(after),
            who=by["who"],
            reason=by.get("reason", ""),
        )
        since = None if after["canary"] is None else self.since
        content = {**after, "previous": fields.get("previous", self.previous), "since": since}
        return RolloutState(**content, changes=(*self.changes, change))


_NO_CANARY: dict[str, Any] = {"canary": None, "traffic": 0}


def require_version(version: int, existing: Collection[int]) -> None:
    """Makes sure that a version is there and whole.

    Raises:
      UsageError: it is missing or damaged.
    """
    if version not in existing:
        raise UsageError(
            f"There is no version {version} that can be served.",
            expected=f"one of {_listed(existing)}" if existing else "a version that was pushed",
            seen=str(version),
            fix="List the versions with conveyor models, or train and push another with conveyor run.",
        )


def _listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, sorted(versions))) or "none"
