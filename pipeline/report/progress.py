"""Shows a run while it goes on: as a live table on a terminal, as one line for each node elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.report import formats
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome

_SECONDS_BETWEEN_LINES = 30.0
# Of one node; the report has all of them.
_MOST_NOTES = 12


@contextmanager
def observe(console: Console, starting: str, note: Callable[[RunOutcome, str], str]) -> Iterator[Callable[[RunOutcome], None]]:
    """An observer that shows a run on `console` each time it is called with the run's outcome so far.

    The notes of a node are printed as soon as it has ended, so that a person may stop the run because of them.

    Args:
      console: where to show it.
      starting: the work that goes on while the nodes are not known yet.
      note: returns a remark on a node at work, from the outcome and the node's id; empty for none.
    """
    if not console.is_terminal:
        yield _LinePrinter(console, note)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        table, notes = _LiveTable(starting, note), _Notes(live.console)

        def show(outcome: RunOutcome) -> None:
            notes.print(outcome)
            live.update(table.render(outcome))

        yield show


class _Notes:
    """Prints the warnings about a run and the notes of its nodes, each once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.told: set[str] = set()
        self.warned = 0

    def print(self, outcome: RunOutcome) -> None:
        while self.warned < len(outcome.warnings):
            self.console.print(Text(outcome.warnings[self.warned], style="yellow"), soft_wrap=True)
            self.warned += 1
        for node_id, node in outcome.nodes.items():
            if node.notes and node_id not in self.told:
                self.told.add(node_id)
                for note in node.notes[:_MOST_NOTES]:
                    self.console.print(Text(f"{node_id}: {note}", style="yellow"), soft_wrap=True)
                if len(node.notes) > _MOST_NOTES:
                    more = f"{node_id}: and {len(node.notes) - _MOST_NOTES} more notes, in the report"
                    self.console.print(Text(more, style="yellow"), soft_wrap=True)


class _LinePrinter:
    """Prints a line when a node ends, and now and then what a node that takes long is doing."""

    def __init__(self, console: Console, note: Callable[[RunOutcome, str], str]) -> None:
        self.console, self.note, self.notes = console, note, _Notes(console)
        self.seen: dict[str, NodeState] = {}
        self.told: dict[str, float] = {}

    def __call__(self, outcome: RunOutcome) -> None:
        for node_id, node in outcome.nodes.items():
            seconds = node.seconds or 0.0
            if node.state is NodeState.RUNNING and seconds - self.told.get(node_id, 0.0) >= _SECONDS_BETWEEN_LINES:
                self.told[node_id] = seconds
                self.print(node_id, node, self.note(outcome, node_id))
            if self.seen.get(node_id) is node.state:
                continue
            self.seen[node_id] = node.state
            if node.ended is not None:
                self.print(node_id, node)
        self.notes.print(outcome)

    def print(self, node_id: str, node: NodeOutcome, note: str = "") -> None:
        line = f"{node_id:<24} {node.state.value:<12} {node.seconds or 0:>7.1f} s  {note}"
        self.console.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)


class _LiveTable:
    """Draws a run; spinners live on from one drawing to the next, so that they turn."""

    def __init__(self, starting: str, note: Callable[[RunOutcome, str], str]) -> None:
        self.starting, self.note = starting, note
        self.spinners: dict[str, Spinner] = {}

    def render(self, outcome: RunOutcome) -> Group | Spinner:
        if not outcome.nodes:
            return self.spinners.setdefault("", Spinner("dots", text=f" run {outcome.run_id}: {self.starting}"))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for node_id, node in outcome.nodes.items():
            symbol, style = formats.STATE_STYLES[node.state]
            seconds = "" if node.seconds is None else f"{node.seconds:.1f} s"
            mark: Text | Spinner = Text(symbol, style=style)
            note = ""
            if node.state is NodeState.RUNNING:
                mark = self.spinners.setdefault(node_id, Spinner("dots", style="cyan"))
                note = self.note(outcome, node_id)
            table.add_row(
                mark,
                Text(node_id),
                Text(node.state.value, style=style),
                Text(seconds, justify="right"),
                Text(note, style="dim", overflow="ellipsis", no_wrap=True),
            )
        return Group(Text(f"run {outcome.run_id} of {outcome.pipeline}", style="bold"), table)
