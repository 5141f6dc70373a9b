"""A world in which a loop runs: spans come, runs push versions, canaries pass or fail, and any step may be the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import NodeError
from pipeline.loop.decision import Canary
from pipeline.loop.journal import Entry
from pipeline.loop.turn import Done, Loop

DAY = 86_400.0


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class World:
    """What is the case, and what was done. `kill_at` counts steps down to the one at which the process is killed."""

    now: float = 1000 * DAY
    span: int | None = 1
    changed: float = 0.0
    read: int | None = 1
    versions: list[tuple[int, float]] = field(default_factory=lambda: [(1, 999 * DAY)])
    stable_version: int | None = None
    canary_version: int | None = None
    canary_since: float = 0.0
    tried: set[int] = field(default_factory=set)
    verdict: str = "undecided"
    steps: tuple[int, ...] = ()
    replayed: str = "pass"
    is_slow: bool = False
    digests: dict[int, str] = field(default_factory=dict)
    has_servers: bool = False
    silent: bool = False
    other_run: str = ""
    in_cluster: bool = False
    begun: dict[int, str] = field(default_factory=dict)
    ended: dict[int, Done] = field(default_factory=dict)
    drifted: dict[str, float] | None = None
    bad: tuple[str, dict[str, float]] | None = None
    blessed: bool = True
    broken: bool = False
    runs: int = 0
    kill_at: int | None = None
    done: list[str] = field(default_factory=list)

    def step_or_die(self) -> None:
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                self.kill_at = None
                raise KilledError

    # Facts.

    def canary(self) -> Canary | None:
        if self.canary_version is None:
            return None
        reason = f"{self.verdict}: as it is"
        return Canary(self.canary_version, self.canary_since, self.verdict, reason, next_step=next(iter(self.steps), None))

    def stable(self) -> int | None:
        return self.stable_version

    def untried(self, version: int) -> bool:
        return version not in self.tried and any(version == each for each, _ in self.versions)

    def digest(self, version: int) -> str:
        return self.digests.get(version, "")

    def can_try(self, version: int) -> bool:
        if self.silent:
            raise NodeError("The gateway does not answer.")
        return self.has_servers

    def run_at_work(self) -> str:
        return self.other_run

    def at_work(self) -> str:
        return self.other_run

    def version(self) -> int | None:
        return self.stable_version or (self.versions[-1][0] if self.versions else None)

    def pushed(self) -> float | None:
        return next((at for version, at in self.versions if version == self.version()), None)

    def read_span(self) -> int | None:
        return self.read

    def newest_span(self) -> tuple[int, float] | None:
        return None if self.span is None else (self.span, self.changed)

    def quality(self) -> tuple[str, dict[str, float]] | None:
        return self.bad

    def drift(self) -> dict[str, float] | None:
        return self.drifted

    # Actions.

    def run(self, begun: Entry) -> Done:
        self.step_or_die()
        self.runs += 1
        if self.in_cluster:
            # It has started, and the world goes on with it.
            self.begun[begun.number] = f"run-{self.runs}"
            self.step_or_die()
            return self.started(begun)
        if self.broken:
            raise NodeError("The Trainer failed.")
        if not self.blessed:
            return Done("not blessed", f"run-{self.runs}")
        version = (self.versions[-1][0] if self.versions else 0) + 1
        self.versions.append((version, self.now))
        self.read = self.span
        self.done.append(f"push {version}")
        self.step_or_die()
        return Done(f"version {version} was pushed", f"run-{self.runs}", version)

    def replay(self, version: int, against: int) -> Done:
        self.step_or_die()
        assert against == self.stable_version
        self.done.append(f"replay {version}")
        self.step_or_die()
        return Done(f"{self.replayed}: as it is", version=version, outcome=self.replayed, is_slow=self.is_slow)

    def start(self, version: int, reason: str) -> Done:
        self.step_or_die()
        assert self.canary_version is None
        self.canary_version, self.canary_since = version, self.now
        self.tried.add(version)
        self.done.append(f"start {version}")
        self.step_or_die()
        return Done("canary", version=version)

    def step(self, version: int, traffic: int, reason: str) -> Done:
        self.step_or_die()
        assert (self.canary_version, self.steps[0]) == (version, traffic)
        self.steps, self.canary_since = self.steps[1:], self.now
        self.done.append(f"step {version} to {traffic}")
        self.step_or_die()
        return Done(f"canary at {traffic} %", version=version)

    def promote(self, version: int, reason: str) -> Done:
        self.step_or_die()
        assert self.canary_version == version
        self.stable_version, self.canary_version = version, None
        self.done.append(f"promote {version}")
        self.step_or_die()
        return Done("stable", version=version)

    def abort(self, version: int, reason: str) -> Done:
        self.step_or_die()
        assert self.canary_version == version
        self.canary_version = None
        self.done.append(f"abort {version}")
        self.step_or_die()
        return Done("aborted", version=version)

    def adopt(self, version: int, reason: str) -> Done:
        self.step_or_die()
        if self.broken:
            raise NodeError("The model server does not take it over.")
        self.stable_version = version
        self.tried.add(version)
        self.done.append(f"adopt {version}")
        self.step_or_die()
        return Done(f"stable {version}", version=version)

    def found(self, begun: Entry) -> Done | None:
        if self.in_cluster:
            return self.ended.get(begun.number) or (self.started(begun) if begun.number in self.begun else None)
        version, at = self.versions[-1] if self.versions else (0, 0.0)
        return Done(f"version {version} was pushed", version=version) if version and at >= begun.at else None

    def started(self, begun: Entry) -> Done:
        """A run on Kubeflow that is at work."""
        run = self.begun[begun.number]
        return Done(f"run {run} is at work", run, at_work=True)

    def end(self, *, problem: NodeError | None = None) -> None:
        """Lets the run on Kubeflow end that was begun last."""
        number, run = list(self.begun.items())[-1]
        if problem:
            self.ended[number] = Done(problem.what, run, problem=problem)
            return
        version = self.versions[-1][0] + 1
        self.versions.append((version, self.now))
        self.read = self.span
        self.done.append(f"push {version}")
        self.ended[number] = Done(f"version {version} was pushed", run, version)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def loop(config: PipelineConfig, world: World) -> Callable[..., Loop]:
    """Makes a loop, as a process that has just started does; keyword arguments are settings of the section `loop`."""

    def make(**settings: Any) -> Loop:
        section = type(config.loop).model_validate(settings)
        return Loop(config.model_copy(update={"loop": section}), lambda: world, world, lambda: world.now)

    return make


@pytest.fixture
def folder(config: PipelineConfig) -> Path:
    return config.workspace_path / "loop" / config.name
