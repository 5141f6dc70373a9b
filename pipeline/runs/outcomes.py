"""The outcomes that runs left in their folders, as they are when somebody looks: no run is at work whose process is gone."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from pipeline.runs.status import FILE_NAME, DamagedRunError, RunOutcome, RunState

LOCK_NAME = ".lock"
"""The file in the folder of a pipeline's runs that the run at work keeps locked."""


def read_outcome(folder: Path) -> RunOutcome:
    """The outcome in a run's folder; that of a run whose process is gone is interrupted, whatever it was when it last wrote.

    Raises:
      FileNotFoundError: the folder holds no run.
      DamagedRunError: the file cannot be read.
    """
    outcome = RunOutcome.load(folder)
    if outcome.state is RunState.RUNNING and not is_at_work(folder.parent):
        # It may have ended, and said so, between the two looks.
        outcome = RunOutcome.load(folder)
        if outcome.state is RunState.RUNNING:
            cut_off(outcome, folder)
    return outcome


def read_outcomes(runs: Path) -> tuple[dict[str, RunOutcome], dict[str, DamagedRunError]]:
    """The outcomes of all runs, as they were written.

    Args:
      runs: the folder of a pipeline's runs.

    Returns:
      The outcomes by run, and the errors of those that cannot be read.
    """
    outcomes: dict[str, RunOutcome] = {}
    errors: dict[str, DamagedRunError] = {}
    for path in sorted(runs.glob(f"*/{FILE_NAME}")):
        try:
            outcomes[path.parent.name] = RunOutcome.load(path.parent)
        except DamagedRunError as error:
            errors[path.parent.name] = error
        except FileNotFoundError:  # a run that was refused leaves no trace
            continue
    return outcomes, errors


def mark_interrupted(runs: Path) -> list[DamagedRunError]:
    """Corrects the outcomes of runs that were killed: only for a caller that holds the run lock.

    Args:
      runs: the folder of a pipeline's runs.

    Returns:
      An error for each run whose outcome cannot be read; its file is left as it is.
    """
    outcomes, errors = read_outcomes(runs)
    for run_id, outcome in outcomes.items():
        if outcome.state is RunState.RUNNING:
            cut_off(outcome, runs / run_id)
            outcome.save(runs / run_id)
    return list(errors.values())


def cut_off(outcome: RunOutcome, folder: Path) -> None:
    """Makes the outcome of a run that was killed, in place, one that ended when the run last wrote a file."""
    outcome.state, outcome.ended = RunState.INTERRUPTED, max(outcome.started, *_times(folder))
    outcome.settle()


def first_sign(folder: Path) -> float:
    """When a run wrote its oldest file, in seconds since 1970: the time of its start, where nothing else says it."""
    return min(_times(folder))


def is_at_work(runs: Path) -> bool:
    """Whether a run of the pipeline is at work.

    Args:
      runs: the folder of the pipeline's runs.
    """
    try:
        descriptor = os.open(runs / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that look do not take each other for a run.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        # Where a file system has no such locks, a run is believed.
        return error.errno in (errno.EAGAIN, errno.EACCES, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
    finally:
        os.close(descriptor)
    return False


def _times(folder: Path) -> list[float]:
    """When the files that only the run itself writes last changed."""
    return [path.stat().st_mtime for path in (folder / FILE_NAME, *folder.glob("*.log"))]
