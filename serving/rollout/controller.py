"""The commands of a rollout, on any target: in such an order that no request fails, and that another attempt can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pipeline.errors import ConveyorError, UsageError
from serving.rollout.counts import Snapshot, count, follows, read_page, started
from serving.rollout.placement import Placement, Plan
from serving.rollout.state import RolloutState
from serving.rollout.target import RolloutTarget
from serving.rollout.verdict import MIN_ROWS, CanaryVerdict, Outcome, judge
from serving.rollout.versions import prunable

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class RolloutStatus:
    """The status of a rollout.

    Attributes:
      state: the rollout's state.
      drift: the difference between the state and the serving versions; empty without one.
      gateways: the gateways that answered.
      verdict: the verdict on the canary; None without a canary, or where no gateway answers.
      uncounted: the gateways that answer, and whose counts of before the canary are not known.
    """

    state: RolloutState
    drift: str
    gateways: tuple[str, ...]
    verdict: CanaryVerdict | None
    uncounted: tuple[str, ...] = ()


class Rollout:
    """The rollout of one model on one target.

    Args:
      target: the machine or the cluster.
      who: the person, as user@machine.
      tell: gets messages for the person.
      min_rows: the rows that stable version and canary must each have answered before the canary is judged.
      changed: called with the new state after each change of it.
    """

    def __init__(
        self,
        target: RolloutTarget,
        who: str,
        tell: Callable[[str], None],
        min_rows: int = MIN_ROWS,
        changed: Callable[[RolloutState], None] = lambda state: None,
    ) -> None:
        self.target, self._who, self._tell, self._min_rows, self._changed = target, who, tell, min_rows, changed

    def start(
        self, version: int, traffic: int, reason: str, *, shadow: bool = False, plan: Plan | None = None, replayed: bool = False
    ) -> RolloutState:
        """Gives a version a share of the traffic, or has gateways ask it beside the stable one.

        Args:
          version: the candidate.
          traffic: the percentage of requests that it is to get; 0 for a shadow.
          reason: the person's reason.
          shadow: whether its answers are only counted and logged.
          plan: the steps that `serving.rollout.watch` goes on with.
          replayed: whether it must have passed a replay against the stable version.

        Raises:
          ConveyorError: it is impossible; the same versions serve as before.
        """

        def decide(state: RolloutState) -> RolloutState:
            by = {"who": self._who, "reason": reason}
            digest = self.target.digest(version) if replayed else None
            started = state.start(version, traffic, self._whole(), shadow=shadow, plan=plan, replayed=digest, **by)
            # The remains of an earlier canary, after an interrupted command, would be in the way.
            self._repair(state)
            return started

        return self._change(decide)

    def adopt(self, version: int, reason: str) -> RolloutState:
        """Makes the version that serves the stable one, where there has been no rollout: from now on, rollouts decide.

        Raises:
          ConveyorError: it is impossible; the same versions serve as before.
        """
        return self._change(lambda state: state.adopt(version, self._whole(), who=self._who, reason=reason))

    def promote(
        self, reason: str, *, traffic: int | None = None, force: bool = False, judged: RolloutState | None = None
    ) -> RolloutState:
        """Gives the canary all of the traffic, or another share of it.

        Args:
          reason: the person's reason; the verdict when empty.
          traffic: the percentage of requests that it is to get; all when None.
          force: whether to promote it even if it is worse than the stable version.
          judged: the state that the decision rests on; None where it rests on the present one.

        Raises:
          ConveyorError: it is impossible, the canary is worse, or the rollout has changed since it was judged; the same
            versions serve as before.
        """

        def decide(state: RolloutState) -> RolloutState:
            _require_unchanged(judged, state)
            verdict = self._verdict(state, self._answers())
            if verdict and verdict.outcome is Outcome.FAIL and not force:
                raise UsageError(
                    f"Version {state.canary} is worse than version {state.stable}.",
                    expected="a canary that is not worse",
                    seen=verdict.reason,
                    fix="End it: conveyor rollout abort. If you know better: conveyor rollout promote --force --reason …",
                )
            by = {"who": self._who, "reason": reason or (f"verdict {verdict.reason}" if verdict else "")}
            promoted = state.promote(**by) if traffic is None else state.step(traffic, **by)
            if verdict is None or verdict.outcome is Outcome.UNDECIDED:
                self._tell(f"It was not judged: {verdict.reason if verdict else 'no gateway answers'}.")
            return promoted

        return self._change(decide)

    def abort(self, reason: str, *, judged: RolloutState | None = None) -> RolloutState:
        """Takes the traffic away from the canary; arguments are those of `promote`.

        Raises:
          ConveyorError: there is no canary, the rollout has changed since it was judged, or the serving versions cannot be
            changed.
        """

        def decide(state: RolloutState) -> RolloutState:
            _require_unchanged(judged, state)
            return state.abort(who=self._who, reason=reason)

        return self._change(decide)

    def record_replay(self, version: int, against: int, outcome: str, reason: str) -> RolloutState:
        """Records what a replay has shown; arguments are those of `RolloutState.replay`.

        Raises:
          ConveyorError: the state cannot be written.
        """
        digest = self.target.digest(version)
        return self._record(lambda state: state.replay(version, against, outcome, digest=digest, who=self._who, reason=reason))

    def pause(self, reason: str) -> RolloutState:
        """Keeps the canary at its share of the traffic until `resume`.

        Raises:
          ConveyorError: there is no canary, or the state cannot be written.
        """
        return self._record(lambda state: state.pause(who=self._who, reason=reason))

    def resume(self, reason: str) -> RolloutState:
        """Goes on after `pause`.

        Raises:
          ConveyorError: there is no canary that is paused, or the state cannot be written.
        """
        return self._record(lambda state: state.resume(who=self._who, reason=reason))

    def rollback(self, reason: str) -> RolloutState:
        """Returns to the last good version: the stable one if there is a canary, else the one before it.

        Raises:
          ConveyorError: there is no such version, or the serving versions cannot be changed.
        """
        return self._change(lambda state: state.rollback(self._whole_or(state.previous), who=self._who, reason=reason))

    def repair(self) -> str:
        """Brings the serving versions in line with the state, after an interrupted command or somebody else's change.

        Returns:
          The difference that was repaired; empty without one.

        Raises:
          ConveyorError: it is impossible.
        """
        with self.target.locked():
            return self._repair(self.target.read())

    def status(self) -> RolloutStatus:
        """The status of the rollout. Nothing is changed.

        Raises:
          ConveyorError: the state cannot be read.
        """
        state = self.target.read()
        pages = self._answers()
        uncounted = () if state.canary is None else tuple(sorted(pages.keys() - _counted(state, pages).keys()))
        drift = self.target.drift(state.placement)
        return RolloutStatus(state, drift, tuple(pages), self._verdict(state, pages), uncounted)

    def prune(self, keep: int, reason: str, *, dry_run: bool) -> list[int]:
        """Deletes old versions, but none that serves or that one could roll back to.

        Args:
          keep: the number of the newest versions that stay in any case.
          reason: the person's reason.
          dry_run: whether only to name the versions.

        Returns:
          The versions that were deleted, or would be.

        Raises:
          ConveyorError: a version cannot be deleted.
        """
        with self.target.locked():
            state = self.target.read()
            if not dry_run:
                self._repair(state)
            loaded = {number for served in self.target.servers().values() for number in served}
            versions = prunable(self.target.versions(), state, loaded, keep)
            if not dry_run:
                if versions:
                    self.target.write(state.prune(versions, who=self._who, reason=reason))
                self.target.delete(versions)
            return versions

    def _change(self, decide: Callable[[RolloutState], RolloutState]) -> RolloutState:
        after = self._carry_out(decide)
        self._changed(after)
        return after

    def _carry_out(self, decide: Callable[[RolloutState], RolloutState]) -> RolloutState:
        target = self.target
        with target.locked():
            before = target.read()
            after = decide(before)
            try:
                target.expand(before.placement, after.placement)
                if after.canary is not None and after.placement != before.placement:
                    after = after.counted_from(self._beginning(after.placement))
                target.write(after)
            except BaseException:
                self._undo(before)
                raise
            target.settle(after.placement)
            if after.since is not None and after.since != before.since:
                after = self._count_anew(after)
            return after

    def _record(self, decide: Callable[[RolloutState], RolloutState]) -> RolloutState:
        """Changes the state alone, and not what serves."""
        with self.target.locked():
            after = decide(self.target.read())
            self.target.write(after)
        self._changed(after)
        return after

    def _repair(self, state: RolloutState) -> str:
        drift = self.target.drift(state.placement)
        if drift:
            self._tell(f"Repaired first: {drift}.")
            self.target.expand(state.placement, state.placement)
            self.target.settle(state.placement)
        return drift

    def _undo(self, before: RolloutState) -> None:
        try:
            current = self.target.read()
            if current == before:
                self.target.settle(before.placement)
            else:
                # Somebody else was quicker.
                self._repair(current)
        except ConveyorError as error:
            self._tell(f"The change could not be undone ({error.what}): conveyor rollout repair undoes it.")

    def _whole(self) -> list[int]:
        return [version.number for version in self.target.versions() if version.is_whole]

    def _whole_or(self, believed: Collection[int]) -> Collection[int]:
        """The versions that are whole; in an emergency, those that the state names."""
        try:
            return self._whole()
        except ConveyorError as error:
            self._tell(f"The versions cannot be listed ({error.what}): those of the state are taken instead.")
            return believed

    def _answers(self) -> dict[str, str]:
        """The metrics pages of the gateways that answer."""
        return {gateway: page for gateway, page in self.target.pages().items() if page}

    def _snapshot(self, placement: Placement, pages: Mapping[str, str]) -> Snapshot:
        return {gateway: read_page(page, self.target.model, placement.serving) for gateway, page in pages.items() if page}

    def _beginning(self, placement: Placement) -> Snapshot | None:
        """The gateways' counters when a canary starts, or gets another share."""
        snapshot = self._snapshot(placement, self._answers())
        if not snapshot:
            self._tell("No gateway answers: the canary can only be judged by what they count from their own start.")
        return snapshot or None

    def _count_anew(self, state: RolloutState) -> RolloutState:
        """Counts from when the gateways follow the new state: until then, the first canary ever has all of the traffic.

        When they have had the time for it, the counts begin, whether they do or not. Those of one that has not answered since
        the canary began are left out: what it counted before is not known.
        """
        end = time.monotonic() + self.target.follow_seconds
        while True:
            pages = self.target.pages()
            if time.monotonic() > end or all(follows(page, state.traffic, shadow=state.shadow) for page in pages.values()):
                break
            time.sleep(_POLL_SECONDS)
        current = self.target.read()
        if current != state:
            return state
        since = {**(state.since or {}), **self._snapshot(state.placement, pages)}
        if unknown := sorted(pages.keys() - since.keys()):
            self._tell(f"Not counted before the next step, as it did not answer when this one began: {', '.join(unknown)}.")
        state = state.model_copy(update={"since": since or None})
        self.target.write(state)
        return state

    def _verdict(self, state: RolloutState, pages: Mapping[str, str]) -> CanaryVerdict | None:
        if state.canary is None or state.stable is None or not pages:
            return None
        now = self._snapshot(state.placement, _counted(state, pages))
        stable = count(now, state.since, state.stable)
        canary = count(now, state.since, state.canary, shadow=state.shadow)
        return judge(stable, canary, min_rows=self._min_rows)


def _counted(state: RolloutState, pages: Mapping[str, str]) -> dict[str, str]:
    """The pages of the gateways that had no counts when the canary got its share, or whose counts of then are known."""
    known, began = state.since or {}, state.share_began

    def is_new(page: str) -> bool:
        return began is None or (started(page) or 0.0) >= began.timestamp()

    return {gateway: page for gateway, page in pages.items() if gateway in known or is_new(page)}


def _require_unchanged(judged: RolloutState | None, state: RolloutState) -> None:
    """Makes sure that a verdict is on what is tried now, and not on a canary that somebody else has ended or paused since."""
    if judged is None:
        return
    before, now = ((each.placement, each.step_began, each.paused) for each in (judged, state))
    if before != now:
        raise UsageError(
            "The rollout has changed since the canary was judged, so nothing was done.",
            expected=str(judged.placement),
            seen=f"{state.placement}{', paused' if state.paused else ''}",
            fix="Watch it again: conveyor rollout watch --promote --abort",
        )
