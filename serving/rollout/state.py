"""The state machine of a rollout: the version that serves, the version that is tried, and the history of both.

A candidate is started and becomes the canary, or a shadow first; it is promoted and becomes the stable version, or is aborted.
From a stable version a rollback leads to the one before it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from pydantic import model_validator

from pipeline.errors import UsageError
from pipeline.util.sealed import seal, unseal
from serving.rollout.counts import Snapshot
from serving.rollout.placement import Kept, Placement, Plan

MENDED = "Restore it from a copy; after a change by hand, take out its last field, checksum, with the comma before it."
"""What helps against a state that cannot be read."""


class Stage(str, Enum):
    """The stage of a version in the rollout."""

    CANDIDATE = "candidate"
    """None of the other stages: usually it was just pushed."""
    SHADOW = "shadow"
    """It is asked what callers ask, and they get the stable version's answers."""
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


class RolloutChange(Kept):
    """One step of the rollout's history.

    Attributes:
      at: the time, with the time zone.
      who: the person, as user@machine.
      action: `adopt`, `replay`, `start`, `step`, `pause`, `resume`, `promote`, `abort`, `rollback` or `prune`.
      reason: the person's reason; may be empty.
      versions: the versions that it is about.
      outcome: of a replay: `pass`, `fail` or `undecided`. Its versions are the candidate and the one that it was compared with.
      digest: of a replay: that of the candidate's model; empty where an earlier release has written it.
      before: the placement until then.
      after: the placement since.
    """

    at: datetime
    who: str
    action: str
    reason: str = ""
    versions: tuple[int, ...] = ()
    outcome: str = ""
    digest: str = ""
    before: Placement
    after: Placement


class RolloutState(Placement):
    """The whole state of a model's rollout; the empty state means that there has been no rollout.

    Attributes:
      previous: good versions to roll back to, the latest last.
      since: the gateways' counters when the canary got its share of the traffic; None where no gateway answered.
      plan: the steps of the canary; None where people decide on each.
      paused: whether `rollout watch` may only end the canary, and not go on with it.
      changes: the history, the latest last; the oldest of very many are dropped.
    """

    previous: tuple[int, ...] = ()
    since: Snapshot | None = None
    plan: Plan | None = None
    paused: bool = False
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
        return Placement(stable=self.stable, canary=self.canary, traffic=self.traffic, shadow=self.shadow)

    @property
    def next_step(self) -> int | None:
        """The share of the traffic that the canary gets next, in percent; None where the next step is to promote it."""
        return next((step for step in self.plan.steps if step > self.traffic), None) if self.plan else None

    @property
    def step_began(self) -> datetime | None:
        """When the canary got its share of the traffic, or was resumed; None without a canary."""
        return self._last_of("start", "step", "resume")

    @property
    def share_began(self) -> datetime | None:
        """When the canary got its share of the traffic, from when on it is counted; None without a canary."""
        return self._last_of("start", "step")

    def _last_of(self, *actions: str) -> datetime | None:
        return next((change.at for change in reversed(self.changes) if change.action in actions), None) if self.canary else None

    def counted_from(self, since: Snapshot | None) -> RolloutState:
        """The state when the last change takes effect, as loading a version may have taken minutes since it was decided.

        Args:
          since: the gateways' counters now.
        """
        last = self.changes[-1].model_copy(update={"at": datetime.now(timezone.utc)})
        return self.model_copy(update={"since": since, "changes": (*self.changes[:-1], last)})

    def to_json(self) -> str:
        """The state as it is kept: with a checksum, and without defaults, so that earlier releases read what they know."""
        document = self.model_dump_json(indent=2, exclude_defaults=True)
        return f"{document if document == _EMPTY else seal(document)}\n"

    @classmethod
    def from_json(cls, document: bytes) -> RolloutState:
        """The state as it was kept, or as somebody has written it by hand, without a checksum.

        Raises:
          ValueError: it is damaged, or not a state.
        """
        return cls.model_validate_json(unseal(document))

    @property
    def protected(self) -> frozenset[int]:
        """The versions that must stay on the disk: those that serve, and the one to roll back to."""
        return frozenset((*self.serving, *self.previous[-1:]))

    def stage(self, version: int) -> Stage:
        """The stage of a version in the rollout."""
        if version == self.stable:
            return Stage.STABLE
        if version == self.canary:
            return Stage.SHADOW if self.shadow else Stage.CANARY
        if version in self.previous:
            return Stage.PREVIOUS
        for change in reversed(self.changes):
            if change.before.canary == version and change.after.canary is None:
                return Stage.ABORTED
            if change.before.stable == version and change.after.stable != version:
                return Stage.RETIRED
            if change.action == "rollback" and version in change.versions:
                return Stage.RETIRED
        return Stage.CANDIDATE

    def start(
        self,
        version: int,
        traffic: int,
        existing: Collection[int],
        *,
        shadow: bool = False,
        plan: Plan | None = None,
        replayed: str | None = None,
        **by: str,
    ) -> RolloutState:
        """A version becomes the canary, or a shadow.

        Args:
          version: the candidate.
          traffic: the percentage of requests that it is to get, 1 to 99; 0 for a shadow.
          existing: the versions that are whole. Before the first rollout the newest of the others becomes the stable one.
          shadow: whether it is only asked beside the stable version.
          plan: the steps that follow.
          replayed: the digest of its model, if that must have passed a replay against the stable version; None if it need not.
          by: `who` and `reason`.

        Raises:
          UsageError: the version cannot become the canary.
        """
        if not shadow:
            _require_share(traffic)
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
        if replayed is not None:
            self._require_replay(version, stable, replayed)
        tried = {"canary": version, "traffic": 0 if shadow else traffic, "shadow": shadow}
        return self._changed("start", (version,), by, stable=stable, plan=plan, **tried)

    def adopt(self, version: int, existing: Collection[int], **by: str) -> RolloutState:
        """The version that serves becomes the stable one, without another that is tried.

        Args:
          version: the version.
          existing: the versions that are whole.
          by: `who` and `reason`.

        Raises:
          UsageError: there has been a rollout, or the version is not there.
        """
        if self.stable is not None:
            raise UsageError(
                f"There is a stable version already, so version {version} cannot just become it.",
                expected="no rollout so far",
                seen=str(self),
                fix=f"Try it: conveyor rollout start {version}",
            )
        require_version(version, existing)
        return self._changed("adopt", (version,), by, stable=version)

    def step(self, traffic: int, **by: str) -> RolloutState:
        """The canary gets another share of the traffic; a shadow becomes a canary.

        Args:
          traffic: the percentage of requests that it is to get, 1 to 99.
          by: `who` and `reason`.

        Raises:
          UsageError: there is no canary, or it cannot have such a share.
        """
        canary = self._canary("promote")
        _require_share(traffic)
        return self._changed("step", (canary,), by, traffic=traffic, shadow=False)

    def replay(self, version: int, against: int, outcome: str, *, digest: str = "", **by: str) -> RolloutState:
        """A candidate was asked what was really asked before. What serves stays.

        Args:
          version: the candidate.
          against: the version that it was compared with.
          outcome: `pass`, `fail` or `undecided`.
          digest: that of the candidate's model.
          by: `who` and `reason`.
        """
        return self._changed("replay", (version, against), by, outcome=outcome, digest=digest)

    def _require_replay(self, version: int, stable: int, digest: str) -> None:
        found = "no replay of it"
        for change in reversed(self.changes):
            if change.action == "prune" and version in change.versions:
                # Another one has its number now.
                break
            if change.action == "replay" and change.versions == (version, stable):
                if change.digest and change.digest != digest:
                    found = "a replay of another model, which had the number before"
                    break
                found = f"{change.outcome}: {change.reason}"
                if change.outcome == "pass":
                    return
                break
        raise UsageError(
            f"Version {version} has not passed a replay against version {stable}.",
            where="--replayed",
            expected="a replay in the rollout's history whose outcome is pass",
            seen=found,
            fix=f"Replay it: conveyor replay {version}. To start it all the same, leave --replayed out.",
        )

    def pause(self, **by: str) -> RolloutState:
        """The canary keeps its share of the traffic.

        Raises:
          UsageError: there is no canary.
        """
        return self._changed("pause", (self._canary("pause"),), by, paused=True)

    def resume(self, **by: str) -> RolloutState:
        """The canary goes on; how long it has had its share of the traffic counts from now.

        Raises:
          UsageError: there is no canary that is paused.
        """
        canary = self._canary("resume")
        if not self.paused:
            raise UsageError(
                "The rollout is not paused.",
                seen=str(self),
                fix="It goes on already, while somebody watches it: conveyor rollout watch --promote --abort",
            )
        return self._changed("resume", (canary,), by, paused=False)

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

        Before the first rollout, the newest version gives way to the one before it, which becomes the stable one.

        Args:
          existing: the versions that are whole: the others are passed over.
          by: `who` and `reason`.

        Raises:
          UsageError: there is no version to go back to.
        """
        if self.canary is not None:
            return self._changed("rollback", (self.canary,), by, **_NO_CANARY)
        serving, previous = self.stable, [each for each in self.previous if each in existing]
        if serving is None and existing:
            *previous, serving = sorted(existing)[-2:]
        if not previous or serving is None:
            raise UsageError(
                "There is no version to roll back to.",
                expected="a version that served before this one, and is still there",
                seen=f"{self}; versions that are there: {_listed(existing)}",
                fix="To try any version that is there: conveyor rollout start VERSION",
            )
        return self._changed("rollback", (serving,), by, stable=previous[-1], previous=tuple(previous[:-1]))

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
        after = {name: fields.get(name, value) for name, value in self.placement.model_dump().items()}
        change = RolloutChange(
            at=datetime.now(timezone.utc),
            action=action,
            versions=versions,
            before=self.placement,
            after=Placement.model_validate(after),
            who=by["who"],
            reason=by.get("reason", ""),
            outcome=fields.get("outcome", ""),
            digest=fields.get("digest", ""),
        )
        kept: dict[str, Any] = {"previous": fields.get("previous", self.previous)}
        if after["canary"] is not None:
            kept |= {"since": self.since, "plan": fields.get("plan", self.plan), "paused": fields.get("paused", self.paused)}
        return RolloutState(**after, **kept, changes=(*self.changes, change)[-_KEPT_CHANGES:])


_EMPTY = "{}"
_KEPT_CHANGES = 1000
"""Changes that the history keeps: a ConfigMap holds 1 MiB, and gateways read the state every second."""
_NO_CANARY: dict[str, Any] = {"canary": None, "traffic": 0, "shadow": False}


def _require_share(traffic: int) -> None:
    if not 1 <= traffic <= 99:
        raise UsageError(
            "A canary cannot have this share of the traffic.",
            where="--traffic",
            expected="1 to 99 percent; the stable version gets the rest",
            seen=str(traffic),
            fix="To give a canary all of the traffic: conveyor rollout promote",
        )


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
