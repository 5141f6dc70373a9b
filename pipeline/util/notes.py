"""Notes of a node, on its standard output: `conveyor run` shows them when the node has ended, and so does the report.

A note is what the person should know although the run goes on: a choice that was made for them, or data that looks wrong.
"""

from __future__ import annotations

from pathlib import Path

MARK = "note: "
"""The beginning of such a line."""

_notes: dict[str, None] = {}


def note(what: str) -> None:
    """Prints a note.

    Args:
      what: a sentence or two; line breaks become spaces.
    """
    text = " ".join(what.split())
    _notes[text] = None
    print(f"{MARK}{text}", flush=True)


def take_notes() -> list[str]:
    """The notes of this process since the last call, in their order, each once."""
    taken = list(_notes)
    _notes.clear()
    return taken


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
