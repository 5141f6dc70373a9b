"""One turn of a loop: it decides, writes down what it is about to do, does it, and writes down what came of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, StorageError, UsageError
from pipeline.loop.decision import Decision, Facts, decide
from pipeline.loop.journal import Action, Entry, Journal, State
from pipeline.util import files

_PAUSED, _APPROVED = "paused", "approved.json"


@dataclass(frozen=True)
class Done:
    """What came of an action.

    Attributes:
      result: in words.
      run: the run, if it was one.
      version: the version that a run has pushed, or that was tried, promoted or aborted.
      outcome: of a replay: `pass`, `fail` or `undecided`.
      is_slow: of a replay that failed: whether it did for the time of the answers alone.
      at_work: whether a run goes on, for a later turn to find out what came of it.
      problem: why a run that was begun in an earlier turn has failed.
    """

    result: str
    run: str = ""
    version: int | None = None
    outcome: str = ""
    is_slow: bool = False
    at_work: bool = False
    problem: ConveyorError | None = None


class Runs(Protocol):
    """Runs of the pipeline."""

    def at_work(self) -> str:
        """A run that has not ended and keeps another from starting; empty if there is none."""

    def run(self, begun: Entry) -> Done:
        """Runs the pipeline, or starts a run; a model that was not blessed is no error.

        Args:
          begun: the line of the journal that it belongs to.
        """

    def found(self, begun: Entry) -> Done | None:
        """What came of a run that an earlier turn has begun and not ended; None where nothing is known of it.

        Args:
          begun: its last line in the journal.
        """


class Actions(Runs, Protocol):
    """What a loop can do to the world."""

    def adopt(self, version: int, reason: str) -> Done:
        """Begins the first rollout: the version that serves becomes the stable one."""

    def replay(self, version: int, against: int) -> Done:
        """Asks a version what the stable one was asked."""

    def start(self, version: int, reason: str) -> Done:
        """Makes a version the canary, or a shadow first."""

    def step(self, version: int, traffic: int, reason: str) -> Done:
        """Gives the canary its next share of the traffic, in percent."""

    def promote(self, version: int, reason: str) -> Done:
        """Makes the canary the stable version."""

    def abort(self, version: int, reason: str) -> Done:
        """Ends the canary."""


def folder_of(config: PipelineConfig) -> Path:
    """Where the loop of a pipeline keeps what it has decided."""
    return config.workspace_path / "loop" / config.name


class Loop:
    """Takes turns.

    Args:
      config: the pipeline's configuration.
      facts: returns what is the case now.
      actions: what it can do.
      clock: the time, in seconds since 1970.
    """

    def __init__(
        self, config: PipelineConfig, facts: Callable[[], Facts], actions: Actions, clock: Callable[[], float] = time.time
    ) -> None:
        self._config, self._facts, self._actions, self._clock = config, facts, actions, clock
        self._folder = folder_of(config)
        self.journal = Journal(self._folder)

    def turn(self) -> Decision:
        """Decides and acts.

        Returns:
          What was decided.

        Raises:
          ConveyorError: what is the case cannot be found out, or the action failed; the next attempts come later and later.
        """
        if waiting := self._catch_up(self.journal.entries()):
            return waiting
        if reason := paused(self._folder):
            return Decision(Action.WAIT, "", f"paused: {reason}")
        entries = self.journal.entries()
        decision = decide(self._config.loop, self._facts(), entries, approved(self._folder), self._clock())
        number = max((each.number for each in entries), default=0) + 1
        if decision.action is Action.WAIT:
            # The same again says nothing new.
            last = entries[-1] if entries else None
            if last is None or (last.action, last.reason) != (Action.WAIT, decision.reason):
                self.journal.add(self._entry(number, decision, State.ENDED))
            return decision
        begun = self._entry(number, decision, State.BEGUN)
        self.journal.add(begun)
        try:
            done = self._act(decision, begun)
        except ConveyorError as error:
            # Without the line, the action counts as cut off. Its own error is the one to tell.
            with suppress(StorageError):
                self.journal.add(self._entry(number, decision, State.FAILED, Done(error.what)))
            raise
        if done.at_work:
            self.journal.add(_still_at_work(begun, done))
        else:
            self.journal.add(self._entry(number, decision, State.ENDED, done))
        return decision

    def _act(self, decision: Decision, begun: Entry) -> Done:
        if decision.action is Action.RUN:
            return self._actions.run(begun)
        version, reason, actions = decision.version, decision.reason, self._actions
        assert version is not None
        if decision.action is Action.REPLAY:
            assert decision.against is not None
            return actions.replay(version, decision.against)
        if decision.action is Action.STEP:
            assert decision.traffic is not None
            return actions.step(version, decision.traffic, reason)
        act = {
            Action.ADOPT: actions.adopt,
            Action.START: actions.start,
            Action.PROMOTE: actions.promote,
            Action.ABORT: actions.abort,
        }
        return act[decision.action](version, reason)

    def _catch_up(self, entries: Sequence[Entry]) -> Decision | None:
        """Writes down what came of a run that an earlier turn has begun; returns a decision while that run is at work.

        Raises:
          ConveyorError: the run has failed, or what came of it cannot be found out.
        """
        runs = [each for each in entries if each.action is Action.RUN]
        begun = runs[-1] if runs else None
        if begun is None or begun.state is not State.BEGUN:
            return None
        done = self._actions.found(begun)
        if done is None:
            return None
        if done.at_work:
            if begun.run != done.run:
                self.journal.add(_still_at_work(begun, done))
            return Decision(Action.WAIT, begun.key, done.result)
        state = State.FAILED if done.problem else State.ENDED
        update = {"version": done.version, "run": done.run, "result": done.result, "state": state, "at": self._clock()}
        self.journal.add(begun.model_copy(update=update))
        if done.problem:
            raise done.problem
        return None

    def _entry(self, number: int, decision: Decision, state: State, done: Done | None = None) -> Entry:
        return Entry(
            number=number,
            at=self._clock(),
            action=decision.action,
            key=decision.key,
            reason=decision.reason,
            figures=decision.figures,
            state=state,
            version=done.version if done and done.version is not None else decision.version,
            run=done.run if done else "",
            result=done.result if done else "",
            outcome=done.outcome if done else "",
            is_slow=bool(done and done.is_slow),
            needs_approval=decision.needs_approval,
        )


def _still_at_work(begun: Entry, done: Done) -> Entry:
    """The next line of a run that goes on. It keeps the time of the first, by which the run is found."""
    return begun.model_copy(update={"run": done.run, "result": done.result})


@contextmanager
def one_loop(config: PipelineConfig) -> Iterator[None]:
    """Keeps a second loop of the pipeline from starting.

    Raises:
      StorageError: there is one, or the workspace cannot be written to.
    """
    folder = folder_of(config)
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise StorageError(
            f"Another loop of {config.name} is at work.",
            where=str(folder),
            expected="one loop of a pipeline at a time",
            fix="Wait for it, or end it. conveyor loop --list shows what it does.",
        ) from None
    except OSError as error:
        raise StorageError(
            "The workspace cannot be written to.",
            where=str(folder),
            seen=os.strerror(error.errno or 0),
            fix="Correct its permissions, or name another workspace: --set workspace=FOLDER",
        ) from error
    try:
        yield
    finally:
        lock.release()


def pause(config: PipelineConfig, reason: str) -> None:
    """Makes loops of the pipeline wait; what one has begun goes on to its end."""
    files.write(folder_of(config) / _PAUSED, reason)


def resume(config: PipelineConfig) -> bool:
    """Ends a pause; returns whether there was one."""
    path = folder_of(config) / _PAUSED
    was_paused = path.is_file()
    path.unlink(missing_ok=True)
    return was_paused


def paused(folder: Path) -> str:
    """Why loops of the pipeline wait; empty if they do not."""
    try:
        return (folder / _PAUSED).read_text(errors="replace").strip() or "no reason was given"
    except OSError:
        return ""


def approved(folder: Path) -> frozenset[str]:
    """What a person has approved, by key.

    Raises:
      StorageError: it cannot be read.
    """
    path = folder / _APPROVED
    try:
        return frozenset(json.loads(path.read_text()))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(
            "What was approved cannot be read.",
            where=str(path),
            seen=str(error),
            fix="Delete the file, and approve again: conveyor approve",
        ) from error


def approve(config: PipelineConfig, who: str) -> str:
    """Approves what the loop waits for.

    Args:
      config: the pipeline's configuration.
      who: the person.

    Returns:
      What was approved.

    Raises:
      UsageError: it waits for nobody.
    """
    folder = folder_of(config)
    entries = Journal(folder).entries()
    last = entries[-1] if entries else None
    known = approved(folder)
    if last is None or not last.needs_approval or last.key in known:
        raise UsageError(
            "There is nothing to approve.",
            where=str(folder),
            expected="a loop that waits for approval",
            seen=last.reason if last else "no decision so far",
            fix="conveyor loop --list shows what was decided; conveyor loop --once decides again.",
        )
    names = json.loads((folder / _APPROVED).read_text()) if known else {}
    files.write(folder / _APPROVED, json.dumps({**names, last.key: who}, indent=2))
    return last.key
