"""What can be done with a rollout, on any target: in such an order that no request fails, and that a next try can go on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pipeline.errors import ConveyorError, UsageError
from serving.rollout.counts import Snapshot, count, read_page
from serving.rollout.state import Placement, RolloutState
from serving.rollout.target import Target
from serving.rollout.verdict import MIN_ROWS, Outcome, Verdict, judge
from serving.rollout.versions import prunable


@dataclass(frozen=True)
class Status:
    """Where a rollout stands.

    Attributes:
      state: of the rollout.
      drift: what is not as the state wants it; empty if all is.
      gateways: that were asked.
      verdict: on the canary; None without one, or where no gateway answers.
    """

    state: RolloutState
    drift: str
    gateways: tuple[str, ...]
    verdict: Verdict | None


class Rollout:
    """Of one model on one target."""

    def __init__(self, target: Target, who: str, tell: Callable[[str], None], min_rows: int = MIN_ROWS) -> None:
        """Reads nothing yet.

        Args:
          target: where.
          who: does it, as user@machine.
          tell: is told what a person should know.
          min_rows: that stable version and canary must each have answered before the canary is judged.
        """
        self._target, self._who, self._tell, self._min_rows = target, who, tell, min_rows

    def start(self, version: int, traffic: int, reason: str) -> RolloutState:
        """Gives a version a share of the traffic.

        Raises:
          ConveyorError: it cannot be; what served before still does.
        """

        def decide(state: RolloutState) -> RolloutState:
            started = state.start(version, traffic, self._whole(), who=self._who, reason=reason)
            # What is left of an earlier canary, after a command that was cut off, would be in the way.
            self._repair(state)
            return started

        return self._change(decide)

    def promote(self, reason: str, *, force: bool = False) -> RolloutState:
        """Gives the canary all of the traffic.

        Args:
          reason: why; the verdict when empty.
          force: whether also when it is worse than the stable version.

        Raises:
          ConveyorError: it cannot be, or it is worse; what served before still does.
        """

        def decide(state: RolloutState) -> RolloutState:
            verdict = self._verdict(state, self._snapshot(state.placement))
            if verdict and verdict.outcome is Outcome.FAIL and not force:
                raise UsageError(
                    f"Version {state.canary} is worse than version {state.stable}.",
                    expected="a canary that is no worse",
                    seen=verdict.reason,
                    fix="conveyor rollout abort; or, if you know better: conveyor rollout promote --force --reason …",
                )
            promoted = state.promote(who=self._who, reason=reason or (f"verdict {verdict.reason}" if verdict else ""))
            if verdict is None or verdict.outcome is Outcome.UNDECIDED:
                self._tell(f"It was not judged: {verdict.reason if verdict else 'no gateway answers'}.")
            return promoted

        return self._change(decide)

    def abort(self, reason: str) -> RolloutState:
        """Takes the traffic away from the canary.

        Raises:
          ConveyorError: there is none, or what serves cannot be changed.
        """
        return self._change(lambda state: state.abort(who=self._who, reason=reason))

    def rollback(self, reason: str) -> RolloutState:
        """Returns to the last good version: the stable one if there is a canary, else the one before it.

        Raises:
          ConveyorError: there is none, or what serves cannot be changed.
        """
        return self._change(lambda state: state.rollback(self._whole_or(state.previous), who=self._who, reason=reason))

    def repair(self) -> str:
        """Brings what serves in line with the state, after a command was cut off or somebody else changed something.

        Returns:
          What was not in line; empty if all was.

        Raises:
          ConveyorError: it cannot be done.
        """
        with self._target.locked():
            return self._repair(self._target.read())

    def status(self) -> Status:
        """Where the rollout stands. Nothing is changed.

        Raises:
          ConveyorError: the state cannot be read.
        """
        state = self._target.read()
        snapshot = self._snapshot(state.placement)
        return Status(state, self._target.drift(state.placement), tuple(snapshot), self._verdict(state, snapshot))

    def prune(self, keep: int, reason: str, *, dry_run: bool) -> list[int]:
        """Deletes old versions, but none that serves or that one could roll back to.

        Args:
          keep: how many of the newest stay in any case.
          reason: why.
          dry_run: whether only to say which.

        Returns:
          The versions that were deleted, or would be.

        Raises:
          ConveyorError: that cannot be done.
        """
        with self._target.locked():
            state = self._target.read()
            if not dry_run:
                self._repair(state)
            loaded = {number for served in self._target.servers().values() for number in served}
            versions = prunable(self._target.versions(), state, loaded, keep)
            if versions and not dry_run:
                self._target.write(state.prune(versions, who=self._who, reason=reason))
                self._target.delete(versions)
            return versions

    def _change(self, decide: Callable[[RolloutState], RolloutState]) -> RolloutState:
        target = self._target
        with target.locked():
            before = target.read()
            after = decide(before)
            try:
                target.expand(before.placement, after.placement)
                if after.canary not in (None, before.canary):
                    after = after.model_copy(update={"since": self._beginning(after.placement)})
                target.write(after)
            except BaseException:
                self._undo(before)
                raise
            target.settle(after.placement)
            return after

    def _repair(self, state: RolloutState) -> str:
        drift = self._target.drift(state.placement)
        if drift:
            self._tell(f"Repaired first: {drift}.")
            self._target.expand(state.placement, state.placement)
            self._target.settle(state.placement)
        return drift

    def _undo(self, before: RolloutState) -> None:
        try:
            current = self._target.read()
            if current == before:
                self._target.settle(before.placement)
            else:
                # Somebody else was quicker.
                self._repair(current)
        except ConveyorError as error:
            self._tell(f"What was begun could not be undone ({error.what}): conveyor rollout repair does it.")

    def _whole(self) -> list[int]:
        return [version.number for version in self._target.versions() if version.is_whole]

    def _whole_or(self, believed: Collection[int]) -> Collection[int]:
        """The versions that are whole; in an emergency, those that are believed to be."""
        try:
            return self._whole()
        except ConveyorError as error:
            self._tell(f"The versions cannot be listed ({error.what}): the state is believed.")
            return believed

    def _snapshot(self, placement: Placement) -> Snapshot:
        pages = self._target.pages()
        return {gateway: read_page(page, self._target.model, placement.serving) for gateway, page in pages.items()}

    def _beginning(self, placement: Placement) -> Snapshot | None:
        """What the gateways have counted when a canary starts."""
        snapshot = self._snapshot(placement)
        if not snapshot:
            self._tell("No gateway answers: the canary can only be judged by what they count from their own start.")
        return snapshot or None

    def _verdict(self, state: RolloutState, now: Snapshot) -> Verdict | None:
        if state.canary is None or state.stable is None or not now:
            return None
        stable, canary = (count(now, state.since, version) for version in (state.stable, state.canary))
        return judge(stable, canary, min_rows=self._min_rows)
