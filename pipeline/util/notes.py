"""Notes of a node, on its standard output: `conveyor run` shows them when the node has ended, and so does the report.

A note is what the person should know although the run goes on: a choice that was made for them, or data that looks wrong.
"""

from __future__ import annotations

from pathlib import Path

MARK = "note: "
"""The beginning of such a line."""


def note(what: str) -> None:
    """Prints a note.

    Args:
      what: a sentence or two; line breaks become spaces.
    """
    print(f"{MARK}{' '.join(what.split())}", flush=True)


def read_notes(log: Path) -> list[str]:
    """The notes in a node's log, in their order, each once.

    Args:
      log: the file with the node's output; it may be missing.
    """
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return list(dict.fromkeys(line.removeprefix(MARK).rstrip("\n") for line in lines if line.startswith(MARK)))
    except FileNotFoundError:
        return []
