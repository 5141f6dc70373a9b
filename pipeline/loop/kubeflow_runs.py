"""Runs of a loop on Kubeflow: one is started in a turn, and looked for in those that follow, as it may take hours."""

from __future__ import annotations

from itertools import islice
from typing import Any

from pipeline.errors import ConveyorError, NodeError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.runs import outcome_of
from pipeline.loop.journal import Entry
from pipeline.loop.pushed import pushed_by
from pipeline.loop.turn import Done
from pipeline.runs.status import RunOutcome, RunState

_SEARCHED = 100
_NOT_FOUND = 404


class KubeflowRuns:
    """Starts runs of a package, and finds out what came of them.

    Args:
      client: the client of the pipeline; its workspace is the volume of the runs.
      package: the package, as `conveyor compile` writes it.
    """

    def __init__(self, client: KubeflowClient, package: str) -> None:
        self._client, self._package = client, package

    def at_work(self) -> str:
        """A run of the pipeline that has not ended, whoever has started it; empty if there is none."""
        return next((run.run_id for run in islice(self._client.runs(), _SEARCHED) if self._state(run) is RunState.RUNNING), "")

    def run(self, begun: Entry) -> Done:
        """Starts a run, whose name tells which line of the journal it belongs to."""
        version = self._client.upload(self._package)
        try:
            run = self._client.start_run(version, {"run_note": begun.reason}, self._name(begun), begun.reason)
        except ApiError as error:
            return self._perhaps_started(begun, error)
        return _at_work(run.run_id)

    def found(self, begun: Entry) -> Done | None:
        """What came of a run so far; None where it was never started, or was deleted."""
        run = self._find(begun)
        if run is None:
            return None
        state = self._state(run)
        if state is RunState.RUNNING:
            return _at_work(run.run_id)
        if state is RunState.INTERRUPTED:
            return Done("somebody cancelled it", run.run_id)
        if state is RunState.FAILED:
            problem = self._problem(run.run_id)
            return Done(problem.what, run.run_id, problem=problem)
        return pushed_by(self._client.config, run.run_id)

    def _perhaps_started(self, begun: Entry, error: ApiError) -> Done:
        """Looks for a run that the server may have started before its answer was lost."""
        try:
            run = self._find(begun)
        except ApiError:
            run = None
        if run is not None:
            return _at_work(run.run_id)
        if not error.may_pass:
            raise error
        # The server may still be at it: the next turn looks again.
        return Done(f"it is not known yet whether the run has started: {error.what} ({error.seen})", at_work=True)

    def _find(self, begun: Entry) -> Any | None:
        if not begun.run:
            # The turn ended after it had started the run, and before it could write down which.
            name = self._name(begun)
            return next((run for run in islice(self._client.runs(), _SEARCHED) if run.display_name == name), None)
        try:
            return self._client.run(begun.run)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    def _state(self, run: Any) -> RunState:
        return outcome_of(run, [], self._client.config.name).state

    def _name(self, begun: Entry) -> str:
        return f"{self._client.config.name}-loop-{begun.number}-{begun.at:.0f}"

    def _problem(self, run_id: str) -> ConveyorError:
        """Why a run failed, as its exit task has written it on the volume."""
        try:
            kept = RunOutcome.load(self._client.config.runs_path / run_id)
        except (FileNotFoundError, ConveyorError):
            kept = None
        if kept is not None and kept.problem is not None:
            return kept.problem.as_error()
        return NodeError(
            "The run failed, and its exit task could not write why.",
            where=run_id,
            fix=f"Kubeflow's dashboard has the logs of its pods, and: conveyor status {run_id}",
        )


def _at_work(run_id: str) -> Done:
    return Done(f"run {run_id} is at work", run_id, at_work=True)
