from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.util.notes import note, read_notes, take_notes


def test_the_notes_in_a_log_are_those_that_were_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_notes()
    note("Column phone is text:\n  its numbers begin with +.")
    print("2026-01-01 INFO: note: of somebody else")
    note("Column název is text.")
    note("Column název is text.")
    log = tmp_path / "ExampleGen.log"
    log.write_text(capsys.readouterr().out, encoding="utf-8")

    told = ["Column phone is text: its numbers begin with +.", "Column název is text."]
    assert read_notes(log) == told
    assert (take_notes(), take_notes()) == (told, [])


def test_a_node_that_wrote_no_log_told_nothing(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "ExampleGen.log") == []
