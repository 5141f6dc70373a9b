"""What a loop does next, by what is the case and by what it has done; pure, so that every case can be tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Protocol

from pydantic import JsonValue

from pipeline.config.loop import Loop
from pipeline.loop.journal import Action, Entry, State

_FIRST_DELAY, _GROWTH, _LONGEST_DELAY = 60.0, 4, 6 * 3600.0
_ADOPTIONS = 3
"""How often the first rollout is begun, before models come into use as they did without one."""
_SLOW_REPLAYS = 3
"""How often a version is replayed that fails for the time of its answers alone: that may be the machine's doing."""


@dataclass(frozen=True)
class Decision:
    """What to do, and why.

    Attributes:
      action: what to do.
      key: what it is about.
      reason: why, in words.
      figures: the numbers behind that.
      version: the version that it is about.
      against: the version that a replay compares it with.
      traffic: the percentage of the traffic that a step gives it.
      needs_approval: whether it waits for a person.
    """

    action: Action
    key: str
    reason: str
    figures: dict[str, JsonValue] = field(default_factory=dict)
    version: int | None = None
    against: int | None = None
    traffic: int | None = None
    needs_approval: bool = False


@dataclass(frozen=True)
class Canary:
    """A version that is tried.

    Attributes:
      version: the version.
      started: since when it has its share of the traffic, in seconds since 1970.
      verdict: `pass`, `fail` or `undecided`; empty where no gateway answers.
      reason: the verdict in words.
      paused: whether a person keeps it at its share.
      next_step: the percentage of the traffic that it gets next; None where it is promoted next.
    """

    version: int
    started: float
    verdict: str
    reason: str
    paused: bool = False
    next_step: int | None = None


class Facts(Protocol):
    """What is the case; what takes long to find out is asked for only when it matters."""

    def canary(self) -> Canary | None:
        """The version that is tried."""

    def stable(self) -> int | None:
        """The version that a rollout has made the stable one; None where there was no rollout."""

    def untried(self, version: int) -> bool:
        """Whether a version was pushed, is there, and has not served in a rollout."""

    def digest(self, version: int) -> str:
        """The digest of a version's model; empty where an earlier release has written it."""

    def can_try(self, version: int) -> bool:
        """Whether a model server answers with a version, and a gateway beside it, so that others can be tried beside it.

        Raises:
          ConveyorError: they are there, but one of them does not answer now.
        """

    def run_at_work(self) -> str:
        """A run that has not ended, whoever has started it, and keeps another from starting; empty if there is none."""

    def version(self) -> int | None:
        """The version that serves; None where none was pushed."""

    def pushed(self) -> float | None:
        """When it was pushed, in seconds since 1970."""

    def read_span(self) -> int | None:
        """The newest span that the newest version's run has read."""

    def newest_span(self) -> tuple[int, float] | None:
        """The newest span of the data, and when its files changed last; None without spans."""

    def quality(self) -> tuple[str, dict[str, float]] | None:
        """What is wrong with the quality by labels, in words, with its figures; None if nothing is, or no labels are there."""

    def drift(self) -> dict[str, float] | None:
        """The importance of the columns that have drifted and matter; None if none has, or nothing was logged."""


@dataclass(frozen=True)
class _Cause:
    key: str
    reason: str
    figures: dict[str, JsonValue]


def decide(loop: Loop, facts: Facts, entries: Sequence[Entry], approved: Collection[str], now: float) -> Decision:
    """Decides.

    Args:
      loop: the settings.
      facts: what is the case.
      entries: the journal.
      approved: the keys that a person has approved.
      now: the time, in seconds since 1970.
    """
    if about_canary := _about_canary(loop, facts, entries, now):
        return about_canary
    about_version = _about_version(loop, facts, entries, approved, now)
    if about_version and about_version.action is not Action.WAIT:
        return about_version
    # A version that nobody approves, that is worse or that cannot be served keeps no newer one from being made.
    about_data = _about_data(loop, facts, entries, approved, now)
    return about_version if about_version and about_data.action is Action.WAIT else about_data


def _about_canary(loop: Loop, facts: Facts, entries: Sequence[Entry], now: float) -> Decision | None:
    canary = facts.canary()
    if canary is None:
        return None
    key, version = f"canary {canary.version}", canary.version
    starts = {each.number: each for each in entries if each.action is Action.START and each.version == version}
    if all(each.state is State.FAILED for each in starts.values()):
        return Decision(Action.WAIT, key, f"version {version} is tried by somebody else", version=version)
    minutes = (now - canary.started) / 60
    figures: dict[str, JsonValue] = {"verdict": canary.verdict, "minutes": round(minutes, 1)}
    if canary.verdict == "fail":
        return _unless_backing_off(Decision(Action.ABORT, key, f"verdict {canary.reason}", figures, version), entries, now)
    if canary.paused:
        return Decision(Action.WAIT, key, f"version {version} is paused, until: conveyor rollout resume", figures, version)
    if canary.verdict == "pass" and minutes >= loop.bake_minutes:
        action = Action.PROMOTE if canary.next_step is None else Action.STEP
        judged = Decision(action, key, f"verdict {canary.reason}", figures, version, traffic=canary.next_step)
        return _unless_backing_off(judged, entries, now)
    return Decision(Action.WAIT, key, f"version {version} is tried: {_awaited(canary, loop)}", figures, version)


def _awaited(canary: Canary, loop: Loop) -> str:
    """What a canary waits for; the same words for as long as that is so, since the journal gets a line for others."""
    if not canary.verdict:
        return "no gateway answers"
    return f"verdict pass, after {loop.bake_minutes:g} minutes" if canary.verdict == "pass" else f"verdict {canary.reason}"


def _about_version(
    loop: Loop, facts: Facts, entries: Sequence[Entry], approved: Collection[str], now: float
) -> Decision | None:
    """A version that the loop has pushed and nobody has tried."""
    stable = facts.stable()
    pushed = [each.version for each in entries if each.action is Action.RUN and each.version is not None]
    if stable is None or not pushed or pushed[-1] <= stable or not facts.untried(pushed[-1]):
        return None
    version = pushed[-1]
    key, reason = f"version {version}", f"version {version} was pushed, and {stable} serves"
    if loop.replay and (replay := _replay(facts, entries, version, stable, reason, now)):
        return replay
    if loop.approve and key not in approved:
        waits = f"version {version} waits for approval"
        return Decision(Action.WAIT, key, waits, version=version, needs_approval=True)
    start = Decision(Action.START, key, reason, {"steps": list(loop.steps), "shadow": loop.shadow}, version)
    return _unless_backing_off(start, entries, now)


def _replay(facts: Facts, entries: Sequence[Entry], version: int, stable: int, reason: str, now: float) -> Decision | None:
    """What a replay of a version is still needed for, or says against it; None where it may be tried."""
    about = f"replay of {version} against {stable}"
    # Another model may have the number of one that was deleted.
    if digests := [digest[:8] for each in (version, stable) if (digest := facts.digest(each))]:
        about += f", {' and '.join(digests)}"
    again = Decision(Action.REPLAY, about, reason, version=version, against=stable)
    done = [each for each in entries if each.action is Action.REPLAY and each.key == about and each.state is State.ENDED]
    if not done:
        return _unless_backing_off(again, entries, now)
    if done[-1].outcome != "fail":
        return None
    worse = f"version {version} is not tried, as its replay says: {done[-1].result}"
    if done[-1].is_slow and len(done) < _SLOW_REPLAYS:
        at = done[-1].at + _delay(len(done) + 1)
        if now >= at:
            return _unless_backing_off(again, entries, now)
        worse += f"; the next attempt is at {_moment(at)}"
    return Decision(Action.WAIT, f"version {version}", worse, version=version)


def _about_data(loop: Loop, facts: Facts, entries: Sequence[Entry], approved: Collection[str], now: float) -> Decision:
    waiting: Decision | None = None
    done = {each.key for each in entries if each.action is Action.RUN and each.state is State.ENDED}
    for cause in _causes(loop, facts, entries, done, now):
        if isinstance(cause, Decision):
            waiting = waiting or cause
        elif cause.key not in done:
            if run := facts.run_at_work():
                return Decision(Action.WAIT, cause.key, f"{cause.reason}, but run {run} is at work", cause.figures)
            if first := _first_rollout(facts, entries, cause, now):
                return first
            if loop.approve and facts.stable() is None and facts.version() is not None and cause.key not in approved:
                return Decision(
                    Action.WAIT, cause.key, f"{cause.reason}: the run waits for approval", cause.figures, needs_approval=True
                )
            return _unless_backing_off(Decision(Action.RUN, cause.key, cause.reason, cause.figures), entries, now)
    return waiting or Decision(Action.WAIT, "", "there is no reason to run")


def _first_rollout(facts: Facts, entries: Sequence[Entry], cause: _Cause, now: float) -> Decision | None:
    """Makes the version that serves the stable one before another is pushed, which would serve untried."""
    version = facts.version()
    if version is None or facts.stable() is not None:
        return None
    key = f"version {version}"
    if len(_failures(Action.ADOPT, key, entries)) >= _ADOPTIONS or not facts.can_try(version):
        return None
    reason = f"{cause.reason}, and {key} serves: what is pushed from now on is tried beside it first"
    return _unless_backing_off(Decision(Action.ADOPT, key, reason, cause.figures, version), entries, now)


def _causes(
    loop: Loop, facts: Facts, entries: Sequence[Entry], done: Collection[str], now: float
) -> Iterator[_Cause | Decision]:
    """Reasons to run, and a reason to wait a little for one."""
    version, newest = facts.version(), facts.newest_span()
    span = newest[0] if newest else None
    if version is None:
        yield _Cause(f"first, span {span}", "no version has been pushed", {})
        return
    read = facts.read_span()
    if loop.new_span and newest and (read is None or newest[0] > read):
        minutes = (now - newest[1]) / 60
        figures: dict[str, JsonValue] = {"span": newest[0], "newest_read": read, "minutes_unchanged": round(minutes, 1)}
        if minutes < loop.settle_minutes:
            yield Decision(Action.WAIT, f"span {span}", f"span {span} is still being written", figures)
            return
        yield _Cause(f"span {span}", f"span {span} has come", figures)
    ended = [each.at for each in entries if each.action is Action.RUN and each.state is State.ENDED]
    if ended and now - ended[-1] < loop.rest_hours * 3600:
        return
    # Without new data, a run makes the same model again: what has spans is run once for each cause.
    about = f"version {version}, span {span}" if newest else f"version {version}, after {len(ended)} runs"
    if found := facts.quality():
        yield _Cause(f"quality, {about}", found[0], dict(found[1]))
    pushed = facts.pushed()
    if loop.max_age_days is not None and pushed is not None and (now - pushed) / 86_400 > loop.max_age_days:
        days = (now - pushed) / 86_400
        yield _Cause(f"age, {about}", f"version {version} was pushed {days:.0f} days ago", {"days": round(days, 2)})
    if loop.drift and f"drift, {about}" not in done and (drifted := facts.drift()):
        yield _Cause(f"drift, {about}", f"{', '.join(drifted)} drifted", {"importance": dict(drifted)})


def _unless_backing_off(decision: Decision, entries: Sequence[Entry], now: float) -> Decision:
    """The decision, or to wait, where the same has failed or was cut off before."""
    failures = _failures(decision.action, decision.key, entries)
    failed = len(failures)
    if not failed:
        return decision
    again = max(each.at for each in failures) + _delay(failed)
    if now >= again:
        return decision
    times = "once" if failed == 1 else f"{failed} times"
    reason = f"{decision.action.value} did not end well {times}: {decision.reason}; the next attempt is at {_moment(again)}"
    return Decision(Action.WAIT, decision.key, reason, {"failed": failed, "next": again}, decision.version)


def _failures(action: Action, key: str, entries: Sequence[Entry]) -> list[Entry]:
    """The last attempts, one after the other, that have failed or were cut off."""
    attempts = {each.number: each for each in entries if each.action is action and each.key == key}
    return list(takewhile(lambda each: each.state is not State.ENDED, reversed(attempts.values())))


def _delay(failed: int) -> float:
    """The seconds before another attempt, after so many that have failed."""
    return min(_FIRST_DELAY * _GROWTH ** (failed - 1), _LONGEST_DELAY)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
