"""What a person sees of work in steps: each with what it does, how long it takes, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """Shows a step while the block is at work: a running clock on a terminal, a line at its beginning and end elsewhere.

    Args:
      console: where to show it; what the block prints there stands above the clock.
      title: what it does, and what it waits for.
    """
    started = time.monotonic()
    console.print(Text(title, style="bold"), soft_wrap=True)
    ended = Text("✗ failed", style="red")
    columns = (TextColumn(" "), SpinnerColumn(), TextColumn(title, markup=False), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            progress.add_task(title, total=None)
            yield
        ended = Text("✓ done", style="green")
    finally:
        ended.append(f" ({time.monotonic() - started:.1f} s)", style="dim")
        console.print(ended)
