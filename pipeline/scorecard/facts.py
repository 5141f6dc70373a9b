"""What a pipeline's workspace shows: its newest run, versions, rollout, loop, labels, backtests and pages."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline import nodes
from pipeline.backtest.history import folder_of as backtests_of
from pipeline.config import PipelineConfig
from pipeline.loop.journal import Entry, Journal
from pipeline.loop.turn import folder_of as loop_of
from pipeline.monitoring.labels import LabelStore
from pipeline.report.read.run_details import RunDetails, read_run_details
from pipeline.runs.outcomes import read_outcomes
from pipeline.runs.status import RunOutcome, RunState
from pipeline.util import git
from serving.rollout.files import read_state
from serving.rollout.state import RolloutState

_DAY_SECONDS = 86_400
_ENDED = (RunState.COMPLETE, RunState.NOT_BLESSED)
_UPDATERS = (".github/dependabot.yml", ".github/dependabot.yaml", "renovate.json", ".github/renovate.json", ".renovaterc.json")


@dataclass(frozen=True)
class Facts:
    """What is there, read when it is first asked for.

    Attributes:
      config: the configuration as it is now.
      file: the configuration's file.
      now: the time, in seconds since 1970.
    """

    config: PipelineConfig
    file: Path
    now: float = field(default_factory=time.time)

    @cached_property
    def runs(self) -> tuple[RunOutcome, ...]:
        """The runs that came to their end, the newest first."""
        outcomes, _ = read_outcomes(self.config.runs_path)
        return tuple(
            sorted((each for each in outcomes.values() if each.state in _ENDED), key=lambda run: run.started, reverse=True)
        )

    @cached_property
    def run(self) -> RunDetails | None:
        """The newest of them, with what it made; None where there is none."""
        return read_run_details(self.config, self.runs[0].run_id) if self.runs else None

    def ran(self, node: nodes.Node) -> bool:
        """Whether a node was at work in the newest run, or what it had made before was taken."""
        return bool(self.runs) and self._did(self.runs[0], node)

    def has_run(self, node: nodes.Node) -> bool:
        """Whether a node was at work in any run."""
        return any(self._did(run, node) for run in self.runs)

    @property
    def has_pushed(self) -> bool:
        """Whether the newest run ended with a version that was pushed."""
        return self.run is not None and bool(self.run.version)

    @cached_property
    def pushed_days_ago(self) -> float | None:
        """How many days ago the newest version was pushed; None where there is none."""
        times = [path.stat().st_mtime for path in self.config.serving_path.glob("[0-9]*/saved_model.pb")]
        return (self.now - max(times)) / _DAY_SECONDS if times else None

    @cached_property
    def rollout(self) -> RolloutState:
        """The rollout on this machine, with its history."""
        return read_state(self.config)

    def rolled(self, action: str) -> int:
        """How often an action is in the rollout's history."""
        return sum(change.action == action for change in self.rollout.changes)

    @cached_property
    def loop(self) -> tuple[Entry, ...]:
        """What `conveyor loop` has decided, the oldest first."""
        return Journal(loop_of(self.config)).entries()

    @property
    def loop_is_alive(self) -> bool:
        """Whether the loop has decided something in the last seven days."""
        return bool(self.loop) and self.now - self.loop[-1].at < 7 * _DAY_SECONDS

    @cached_property
    def days_with_labels(self) -> int:
        """For how many days of predictions labels were imported."""
        return len(LabelStore.of(self.config).days())

    @cached_property
    def backtest(self) -> Path | None:
        """The result of a backtest."""
        result = backtests_of(self.config) / "backtest.json"
        return result if result.is_file() else None

    @cached_property
    def monitoring_page(self) -> Path | None:
        """The page that `conveyor monitor` has written."""
        page = self.config.workspace_path / "monitoring" / self.config.name / "monitor.html"
        return page if page.is_file() else None

    @cached_property
    def updater(self) -> Path | None:
        """The file by which a service looks for new versions of dependencies."""
        folder = self.file.parent
        root = Path(git.ask(folder, "rev-parse", "--show-toplevel") or folder)
        return next((root / name for name in _UPDATERS if (root / name).is_file()), None)

    @property
    def packages_are_watched(self) -> bool:
        """Whether that service looks at more than the actions of workflows; of files other than Dependabot's it is taken to."""
        if self.updater is None:
            return False
        names = re.findall(r"package-ecosystem:\s*[\"']?([\w-]+)", self.updater.read_text())
        return not names or set(names) != {"github-actions"}

    @staticmethod
    def _did(run: RunOutcome, node: nodes.Node) -> bool:
        outcome = run.nodes.get(node.id)
        return outcome is not None and outcome.state.is_successful
