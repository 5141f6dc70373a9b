"""`conveyor data flights`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.data import app, parse_months
from pipeline.errors import UsageError


def test_says_what_was_written_and_what_to_type_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    first = CliRunner().invoke(app, ["flights", "--months", "2"])
    assert first.exit_code == 0
    assert "span 201302   24,951 rows" in first.output
    assert "1 span (all new), 24,951 rows" in first.output
    assert first.output.endswith("Next: conveyor run examples/flights/pipeline.yaml\n")
    assert (tmp_path / ".conveyor/data/flights/span-201302/flights.parquet").exists()

    second = CliRunner().invoke(app, ["flights", "--months", "2", "--if-missing"])
    assert "1 span (0 new), 24,951 rows" in second.output


def test_the_next_command_finds_files_written_elsewhere(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["flights", "--months", "2", "--format", "csv", "--destination", str(tmp_path)])
    assert f"--set data.input='{tmp_path}/span-{{SPAN}}/flights.csv'" in result.output


@pytest.mark.parametrize(("text", "months"), [("1-12", range(1, 13)), ("3", range(3, 4)), ("10-11", range(10, 12))])
def test_months(text: str, months: range) -> None:
    assert parse_months(text) == months


@pytest.mark.parametrize("text", ["", "0", "13", "0-3", "9-1", "1-13", "a", "1-", "-3", "1-2-3", "1,2"])
def test_months_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_months(text)
    assert raised.value.seen == text
