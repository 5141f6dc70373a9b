"""`conveyor track`: what a tracking server has missed is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.completion import complete_run
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import print_json
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import PipelineConfig

_SECONDS = 3600.0


def track(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN …",
            help="Runs to send, also again: ids, beginnings of ids, `latest`, or v7 for the run that pushed version 7.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    overrides: Overrides = None,
    all_runs: Annotated[bool, typer.Option("--all", help="Send all runs that have ended and were not sent.")] = False,
    as_json: Json = False,
) -> None:
    """Send runs to the tracking server that `tracking.mlflow` names: without arguments, those that it has missed.

    A run is sent when it ends, so this is for a server that was away, and for runs from before it was configured.

    Example: conveyor track --all
    """
    from pipeline.runs.find import find_run
    from pipeline.tracking import marks
    from pipeline.tracking.tracker import Sent, send_aliases_after, send_runs

    settings = read_config(config, overrides)
    if settings.tracking.mlflow is None:
        raise UsageError(
            "No tracking server is configured.",
            where="tracking.mlflow",
            expected="the address of an MLflow tracking server",
            seen="null",
            fix="Write into the configuration: tracking: {mlflow: {uri: http://localhost:5000}}",
        )
    if runs and all_runs:
        raise UsageError("Both runs and --all were given.", where="the command line", fix="Leave one of them out.")
    named = list(dict.fromkeys(find_run(settings, run) for run in runs or ()))
    _require_ended(settings, named)
    sent: list[Sent] = []
    for each in send_runs(settings, named or (_unsent(settings) if all_runs else marks.missed(settings)), _SECONDS):
        sent.append(each)
        if not as_json:
            print(f"{each.run_id}: {each.problem.what if each.problem else 'sent'}", flush=True)
    waiting = marks.read_aliases(settings)
    problem = send_aliases_after(settings, sent, _SECONDS)
    now = marks.read_aliases(settings)
    moved = bool(waiting and not waiting.sent and now and now.sent)
    if as_json:
        print_json(
            {
                "server": settings.tracking.mlflow.uri,
                "runs": [{"run": each.run_id, "problem": each.problem.what if each.problem else None} for each in sent],
                "aliases": moved,
            }
        )
    elif moved:
        print("The aliases have moved.")
    elif not sent and problem is None:
        print("Nothing was missed.")
    if problem is not None:
        raise problem


def _require_ended(config: PipelineConfig, run_ids: Sequence[str]) -> None:
    from pipeline.runs.outcomes import read_outcomes
    from pipeline.runs.status import RunState

    outcomes, _ = read_outcomes(config.runs_path)
    running = next((each for each in run_ids if each in outcomes and outcomes[each].state is RunState.RUNNING), None)
    if running is not None:
        raise UsageError(
            f"Run {running} has not ended.",
            where="the command line",
            expected="runs that have ended",
            seen=RunState.RUNNING.value,
            fix="It is sent when it ends. One that was killed has ended as soon as the next one begins.",
        )


def _unsent(config: PipelineConfig) -> list[str]:
    """The runs that have ended and were not sent, the oldest first."""
    from pipeline.runs.outcomes import read_outcomes
    from pipeline.runs.status import RunState
    from pipeline.tracking.marks import read_mark

    outcomes, _ = read_outcomes(config.runs_path)
    ended = [run_id for run_id, outcome in outcomes.items() if outcome.state is not RunState.RUNNING]
    return sorted(run_id for run_id in ended if not ((mark := read_mark(config, run_id)) and mark.sent))
