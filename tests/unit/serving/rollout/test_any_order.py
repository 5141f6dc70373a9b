"""Commands in any order, on versions that come, go and are broken, cut off at any point: what must hold always holds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError
from serving.rollout import RolloutState, files
from serving.rollout.controller import Rollout
from serving.rollout.local import LocalTarget
from serving.rollout.models_config import render
from tests.fakes.simulated_server import SimulatedServer

VERSIONS = st.integers(1, 6)


class Killed(BaseException):
    """The command's process has ended: nothing of it goes on, not even what tidies up."""


class AnyOrder(RuleBasedStateMachine):
    """A workspace, a model server, and people who type commands."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.config = PipelineConfig.model_validate(
            {"name": "flights", "label": "late", "data": {"input": "x.csv"}, "workspace": str(self.folder)}
        )
        self.server = SimulatedServer(files.models_config_path(self.config), self.config.serving_path)
        self.said: list[str] = []
        self.rollout = Rollout(LocalTarget(self.config, self.server, [], self.said.append, 0.2), "ada@laptop", self.said.append)
        self.recorded = 0
        self.was_killed = False
        self.sleep = patch("serving.rollout.model_servers.time.sleep")
        self.sleep.start()
        for version in (1, 2):
            self.push(version)

    def teardown(self) -> None:
        self.sleep.stop()
        shutil.rmtree(self.folder)

    def push(self, version: int) -> None:
        folder = self.config.serving_path / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_text("graph")

    @rule(version=VERSIONS)
    def push_version(self, version: int) -> None:
        self.push(version)

    @rule(version=VERSIONS)
    def push_broken_version(self, version: int) -> None:
        if not (self.config.serving_path / str(version)).exists():
            self.push(version)
            self.server.broken.add(version)

    @precondition(lambda self: not self.server.running)
    @rule()
    def start_server(self) -> None:
        files.prepare(self.config)
        self.was_killed = False
        self.server.start()

    @precondition(lambda self: self.server.running)
    @rule()
    def stop_server(self) -> None:
        self.server.stop()

    @rule(version=VERSIONS, traffic=st.integers(0, 100))
    def start(self, version: int, traffic: int) -> None:
        self.do(lambda: self.rollout.start(version, traffic, "to see"))

    @rule(version=VERSIONS)
    def start_shadow(self, version: int) -> None:
        self.do(lambda: self.rollout.start(version, 0, "to see", shadow=True))

    @rule(traffic=st.integers(0, 100))
    def step(self, traffic: int) -> None:
        self.do(lambda: self.rollout.promote("so far it is good", traffic=traffic))

    @rule()
    def promote(self) -> None:
        self.do(lambda: self.rollout.promote("it is better"))

    @rule()
    def pause(self) -> None:
        self.do(lambda: self.rollout.pause("over the weekend"))

    @rule()
    def resume(self) -> None:
        self.do(lambda: self.rollout.resume("it is Monday"))

    @rule()
    def abort(self) -> None:
        self.do(lambda: self.rollout.abort("it is worse"))

    @rule()
    def rollback(self) -> None:
        self.do(lambda: self.rollout.rollback("something is wrong"))

    @rule(keep=st.integers(0, 3))
    def prune(self, keep: int) -> None:
        self.do(lambda: self.rollout.prune(keep, "no room", dry_run=False))
        self.server.broken = {each for each in self.server.broken if (self.config.serving_path / str(each)).exists()}

    @rule()
    def repair(self) -> None:
        self.rollout.repair()
        self.was_killed = False

    @rule(
        action=st.sampled_from(["start", "shadow", "step", "promote", "abort", "rollback", "repair"]),
        version=VERSIONS,
        writes=st.integers(0, 4),
    )
    def kill(self, action: str, version: int, writes: int) -> None:
        """A command is killed before it writes once more than so often."""
        actions: dict[str, Callable[[], object]] = {
            "start": lambda: self.rollout.start(version, 10, "to see"),
            "shadow": lambda: self.rollout.start(version, 0, "to see", shadow=True),
            "step": lambda: self.rollout.promote("so far it is good", traffic=30),
            "promote": lambda: self.rollout.promote("it is better"),
            "abort": lambda: self.rollout.abort("it is worse"),
            "rollback": lambda: self.rollout.rollback("something is wrong"),
            "repair": lambda: self.rollout.repair(),
        }
        left = [writes]
        write = files._write

        def counted(path: Path, text: str) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1
            write(path, text)

        with patch.object(files, "_write", counted):
            try:
                self.do(actions[action])
            except Killed:
                self.was_killed = True
        self.recorded = len(self.state.changes)

    def do(self, command: Callable[[], object]) -> None:
        """Runs a command, which changes the state by one change, or fails and changes nothing."""
        before = self.state
        try:
            command()
        except ConveyorError:
            assert self.state == before
        else:
            self.was_killed = False
            assert self.state.changes[: len(before.changes)] == before.changes
            assert len(self.state.changes) - len(before.changes) <= 1
        self.recorded = len(self.state.changes)

    @property
    def state(self) -> RolloutState:
        return files.read_state(self.config)

    @invariant()
    def every_label_names_a_version_that_answers(self) -> None:
        if self.server.running:
            for _ in range(4):
                self.server.poll()
        assert not self.server.violations

    @invariant()
    def what_serves_and_what_one_rolls_back_to_is_there(self) -> None:
        for version in self.state.protected:
            assert (self.config.serving_path / str(version)).exists()

    @invariant()
    def the_last_change_is_what_serves(self) -> None:
        if self.state.changes:
            assert self.state.changes[-1].after == self.state.placement

    @invariant()
    def the_model_server_is_told_what_the_state_says(self) -> None:
        path = files.models_config_path(self.config)
        if path.exists() and not self.was_killed:
            assert path.read_text() == render("flights", str(self.config.serving_path), self.state.placement)

    @invariant()
    def nothing_is_left_lying_about(self) -> None:
        folder = files.folder(self.config)
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        assert names <= {"rollout.json", "models.config", ".rollout.lock"}


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestAnyOrder = AnyOrder.TestCase
