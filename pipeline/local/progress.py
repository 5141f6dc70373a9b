"""What a person sees while a run goes on: a live table on a terminal, one line a node elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.outcome import NodeOutcome, NodeState, RunOutcome

if TYPE_CHECKING:
    from pipeline.local.runner import Observer

STYLES = {
    NodeState.WAITING: ("·", "dim"),
    NodeState.RUNNING: ("▶", "cyan"),
    NodeState.COMPLETE: ("✓", "green"),
    NodeState.CACHED: ("✓", "blue"),
    NodeState.FAILED: ("✗", "bold red"),
    NodeState.BLOCKED: ("-", "dim"),
    NodeState.SKIPPED: ("-", "dim"),
    NodeState.INTERRUPTED: ("✗", "yellow"),
}
# A node that has something to say about its progress prints a line that starts so.
PROGRESS_MARK = "progress: "
_TAIL_BYTES = 4096


@contextmanager
def observe(console: Console, runs: Path) -> Iterator[Observer]:
    """An observer for run_pipeline that shows a run on `console`; `runs` is the folder of the pipeline's runs."""
    if not console.is_terminal:
        yield _LinePrinter(console)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        spinners: dict[str, Spinner] = {}
        yield lambda outcome: live.update(_table(outcome, runs, spinners))


class _LinePrinter:
    """Prints a line when a node starts to work and when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seen: dict[str, NodeState] = {}

    def __call__(self, outcome: RunOutcome) -> None:
        for node_id, node in outcome.nodes.items():
            if self.seen.get(node_id) is node.state:
                continue
            self.seen[node_id] = node.state
            if node.ended is not None:
                self.console.print(f"{node_id:<20} {node.state.value:<12} {node.seconds or 0:>7.1f} s", highlight=False)


def _table(outcome: RunOutcome, runs: Path, spinners: dict[str, Spinner]) -> Group | Spinner:
    if not outcome.nodes:
        return spinners.setdefault("", Spinner("dots", text=f" run {outcome.run_id}: loading TFX and compiling the pipeline"))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for node_id, node in outcome.nodes.items():
        symbol, style = STYLES[node.state]
        seconds = "" if node.seconds is None else f"{node.seconds:.1f} s"
        mark: Text | Spinner = Text(symbol, style=style)
        if node.state is NodeState.RUNNING:
            mark = spinners.setdefault(node_id, Spinner("dots", style="cyan"))
        note = _note(node, runs / outcome.run_id / f"{node_id}.log")
        table.add_row(mark, Text(node_id), Text(node.state.value, style=style), Text(seconds, justify="right"), note)
    return Group(Text(f"run {outcome.run_id} of {outcome.pipeline}", style="bold"), table)


def _note(node: NodeOutcome, log: Path) -> Text:
    """What the node last said about its progress."""
    if node.state is not NodeState.RUNNING or not log.exists():
        return Text("")
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    marked = [line for line in lines if line.startswith(PROGRESS_MARK)]
    return Text(marked[-1].removeprefix(PROGRESS_MARK) if marked else "", style="dim", overflow="ellipsis", no_wrap=True)
