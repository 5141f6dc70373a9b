"""Shows a local run while it goes on: the nodes, and the last progress message of each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.report import progress
from pipeline.util.progress import MARK

if TYPE_CHECKING:
    from pipeline.local.runner import Observer

_TAIL_BYTES = 4096


def observe(console: Console, runs: Path) -> AbstractContextManager[Observer]:
    """An observer for run_pipeline that shows a run on `console`; `runs` is the folder of the pipeline's runs."""
    return progress.observe(
        console,
        starting="loading TFX and compiling the pipeline",
        note=lambda outcome, node_id: _last_message(runs / outcome.run_id / f"{node_id}.log"),
    )


def _last_message(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    marked = [line for line in lines if line.startswith(MARK)]
    return marked[-1].removeprefix(MARK) if marked else ""
