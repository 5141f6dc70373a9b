"""Finds a run by what a user types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import FILE_NAME, RunOutcome
from pipeline.util.suggestions import did_you_mean

LATEST = "latest"
_MOST_SHOWN = 5

_Found = TypeVar("_Found")


def run_ids(config: PipelineConfig) -> list[str]:
    """Every run that left a trace in its folder or in the metadata store, oldest first.

    Raises:
      UsageError: nothing has run in the workspace.
    """
    started = {path.parent.name: RunOutcome.load(path.parent).started for path in config.runs_path.glob(f"*/{FILE_NAME}")}
    connection = database.connection(config)
    if database.exists(connection) or not started:
        with open_store(connection, config.name) as store:
            started = {**store.run_starts(), **started}
    return sorted(started, key=lambda run_id: (started[run_id], run_id))


def find_run(config: PipelineConfig, wanted: str) -> str:
    """The id of a run.

    Args:
      config: the pipeline's configuration.
      wanted: an id, the beginning of one, or `latest`.

    Raises:
      UsageError: no run is meant, or more than one.
    """
    known = run_ids(config)
    if not known:
        raise UsageError(
            f"{config.name} has no run yet.", where=str(config.workspace_path), fix="`conveyor run` runs the pipeline."
        )
    if wanted == LATEST:
        return known[-1]
    return pick(
        wanted,
        known[::-1],
        lambda run_id: (run_id,),
        kind="run",
        where=config.name,
        words=(LATEST,),
        listed_by="conveyor runs",
    )


def pick(
    wanted: str,
    known: Sequence[_Found],
    names: Callable[[_Found], Sequence[str]],
    *,
    kind: str,
    where: str = "",
    words: Sequence[str] = (),
    listed_by: str,
) -> _Found:
    """The run or the schedule that the user means.

    Args:
      wanted: a name, an id, or the beginning of an id.
      known: those that exist, in the order in which they are shown.
      names: the names of one of them, its id first.
      kind: the word for what is looked for, such as `run`.
      where: where it is looked for.
      words: what the user may type instead of a name, such as `latest`.
      listed_by: the command that lists them.

    Raises:
      UsageError: none is meant, or more than one.
    """
    found = [each for each in known if wanted in names(each)] or [each for each in known if names(each)[0].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(_shown(*names(each)) for each in (found or known)[:_MOST_SHOWN])
    have_names = any(len(names(each)) > 1 for each in known)
    choice = [*(f"`{word}`" for word in words), f"{'a name, ' if have_names else ''}an id or the beginning of an id"]
    guess = did_you_mean(wanted, [*words, *(name for each in known for name in names(each))], cutoff=0.5)
    raise UsageError(
        f"{len(found)} {kind}s match {wanted!r}." if found else f"There is no {kind} {wanted!r}.",
        where=where,
        expected=f"{', '.join(choice)}: {shown}" if shown else f"a {kind}, but there is none yet",
        seen=wanted,
        fix="Give more of the id." if found else guess or f"`{listed_by}` lists them.",
    )


def _shown(found_id: str, *others: str) -> str:
    return f"{found_id} ({', '.join(others)})" if others else found_id
