"""`conveyor data verify`: the spans that a run has read, beside what their files hold now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.example_gen import properties
from components.example_gen.inputs import resolve
from pipeline.config import Split


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two spans, the second of two files."""
    for span, name in ((1, "a"), (2, "a"), (2, "b")):
        path = tmp_path / "data" / f"span-{span}" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x,y\n{span},{name}\n")
    return tmp_path / "data"


@pytest.fixture
def read(workspace, config, data: Path):
    """A run that has read both spans, in both of its splits."""
    given = {
        properties.INPUT_PATTERN: f"{data}/span-{{SPAN}}/*.csv",
        properties.FILE_FORMAT: "auto",
        properties.SPLIT: properties.split_to_json(Split()),
    }
    found = {name: value for name, value in resolve(given).items() if isinstance(value, str)}
    (config.runs_path / "first").mkdir(parents=True)
    workspace.execute("first", "ExampleGen", outputs={"examples": "examples"}, execution_properties={**given, **found})
    return found[properties.FINGERPRINT]


def states(document: dict) -> list[tuple[int, bool]]:
    return [(span["span"], span["same"]) for span in document["spans"]]


def test_data_that_is_as_it_was(read: str, conveyor) -> None:
    code, printed, _ = conveyor("data", "verify", "--json")
    document = json.loads(printed)
    assert (code, document["fingerprint"], states(document)) == (0, read, [(1, True), (2, True)])

    assert f"Run first has read {read}" in conveyor("data", "verify")[1]


@pytest.mark.usefixtures("read")
def test_a_file_that_was_written_anew_is_the_same(data: Path, conveyor) -> None:
    path = data / "span-1" / "a.csv"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert conveyor("data", "verify")[0] == 0


@pytest.mark.usefixtures("read")
def test_later_spans_do_not_count(data: Path, conveyor) -> None:
    (data / "span-3").mkdir()
    (data / "span-3" / "a.csv").write_text("x,y\n3,a\n")
    assert conveyor("data", "verify")[0] == 0


@pytest.mark.usefixtures("read")
def test_a_span_that_was_changed_is_named(data: Path, conveyor) -> None:
    (data / "span-2" / "b.csv").write_text("x,y\n2,c\n")
    code, printed, told = conveyor("data", "verify", "--json")
    assert (code, states(json.loads(printed))) == (3, [(1, True), (2, False)])
    assert "A span is not what the run has read." in told
    assert f"one or more of 2 files, {data}/span-2/a.csv to {data}/span-2/b.csv" in told


@pytest.mark.usefixtures("read")
def test_a_file_that_is_gone_is_named(data: Path, conveyor) -> None:
    (data / "span-2" / "b.csv").unlink()
    (data / "span-1" / "a.csv").write_text("other")
    code, printed, told = conveyor("data", "verify")
    assert code == 3
    assert "gone" in printed
    assert "2 spans are not what the run has read." in told


def test_a_run_of_another_release_says_what_is_missing(workspace, config, conveyor) -> None:
    (config.runs_path / "old").mkdir(parents=True)
    workspace.execute("old", "ExampleGen", outputs={"examples": "examples"})
    code, _, told = conveyor("data", "verify", "old")
    assert code == 3
    assert "does not say which version of the data" in told


def test_a_run_that_read_nothing(workspace, config, conveyor) -> None:
    (config.runs_path / "empty").mkdir(parents=True)
    workspace.execute("empty", "Trainer", outputs={"model": "model"})
    code, _, told = conveyor("data", "verify", "empty")
    assert code == 2
    assert "has read no data" in told
