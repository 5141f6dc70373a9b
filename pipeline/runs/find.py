"""Finds a run by what a user types."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from components.pusher.push_record import PushRecord
from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.outcomes import first_sign, read_outcomes
from pipeline.util.suggestions import did_you_mean

LATEST = "latest"
VERSION = re.compile(r"v(\d{1,18})")
"""How a run is named by the version that it pushed: v7."""
_MOST_SHOWN = 5

_Found = TypeVar("_Found")


def run_ids(config: PipelineConfig) -> list[str]:
    """Every run that left a trace in its folder or in the metadata store, oldest first.

    Raises:
      UsageError: nothing has run in the workspace.
    """
    outcomes, damaged = read_outcomes(config.runs_path)
    started = {run_id: outcome.started for run_id, outcome in outcomes.items()}
    signs = {run_id: first_sign(config.runs_path / run_id) for run_id in damaged}
    connection = database.connection(config)
    if database.exists(connection) or not (started or signs):
        with open_store(connection, config.name) as store:
            signs |= store.run_starts()
    started = signs | started
    return sorted(started, key=lambda run_id: (started[run_id], run_id))


def find_run(config: PipelineConfig, wanted: str) -> str:
    """The id of a run.

    Args:
      config: the pipeline's configuration.
      wanted: an id, the beginning of one, `latest`, or `v7` for the run that pushed version 7.

    Raises:
      UsageError: no run is meant, or more than one.
    """
    if version := VERSION.fullmatch(wanted):
        return _run_of(config, version[1])
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


def _run_of(config: PipelineConfig, version: str) -> str:
    """The run that pushed a version, as the folder of the version says or, if no such run is here, the metadata store."""
    record = PushRecord.load(config.serving_path / version)
    if record is not None and record.pipeline == config.name and record.run in run_ids(config):
        return record.run
    with open_store(database.connection(config), config.name) as store:
        pusher = store.producer(store.pushed(version).id)
    assert pusher is not None, "only a run pushes"
    return pusher.runs[0]


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
