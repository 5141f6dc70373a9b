"""`conveyor backtest` on a small table with spans: real runs, each made once, and nothing pushed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.integration

CONVEYOR = Path(sys.executable).with_name("conveyor")
ROWS, SPANS = 400, (1, 2, 3)


def write_project(folder: Path) -> None:
    """A table of three spans in which what the label depends on turns: a model of one span knows less of the next."""
    for span in SPANS:
        random = np.random.default_rng(span)
        x, y = random.normal(size=(2, ROWS))
        value = x * np.cos(span) + y * np.sin(span) + 0.3 * random.normal(size=ROWS)
        label = np.array(["a", "b", "c"])[np.digitize(value, [-0.5, 0.5])]
        pd.DataFrame({"x": x, "y": y, "label": label}).to_csv(folder / f"span-{span}.csv", index=False)
    config = {
        "name": "turning",
        "task": "multiclass_classification",
        "label": "label",
        "data": {"input": "span-{SPAN}.csv"},
        "model": {"kind": "linear"},
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(config))


def command(*arguments: str) -> list[str]:
    return [str(CONVEYOR), "backtest", "--json", *arguments]


def play(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Runs the command; returns its document and what it told on the way."""
    done = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document, done.stderr


def runs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".conveyor" / "runs" / "turning-trial").glob("2*"))


def test_a_backtest_that_was_interrupted_goes_on_and_what_was_trained_is_not_trained_again(tmp_path: Path) -> None:
    write_project(tmp_path)
    # Of three models, the first is trained when the signal comes.
    process = subprocess.Popen(
        command("--windows", "1,all"), cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    told: list[str] = []
    while not told:
        line = process.stderr.readline()
        assert line, "the command has ended"
        told = [line] if "trained on" in line else []
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "goes on from there" in rest
    (first,) = [run for run in runs(tmp_path) if run in told[0]]

    document, progress = play(tmp_path, "--windows", "1,all")

    assert progress.count("trained on") == 2
    models = {tuple(each["trained_on"]): each["run"] for policy in document["policies"] for each in policy["models"]}
    assert models.keys() == {(1,), (2,), (1, 2)}
    assert models[1,] == first
    never, *others = document["policies"]
    assert [each["span"] for each in never["spans"]] == [2, 3]
    assert [each["policy"] for each in others[:2]] == ["every span, all spans", "every span, 1 span"]
    # What the label depends on has turned: the newest span alone knows more than both.
    by_policy = {each["policy"]: each for each in document["policies"]}
    assert by_policy["every span, 1 span"]["gain"]["lower"] > 0
    assert by_policy["every span, 1 span"]["mean"] > by_policy["every span, all spans"]["mean"] > never["mean"]
    assert by_policy["on decay, 1 span"]["runs"] == 1  # it is known only when no span is left
    assert not (tmp_path / ".conveyor" / "models").exists()
    page = (tmp_path / ".conveyor" / "backtests" / "turning" / "backtest.html").read_text()
    assert "Best on average: every span, 1 span" in page

    before = runs(tmp_path)
    again, progress = play(tmp_path, "--windows", "1,all")
    assert "trained on" not in progress
    assert again["policies"] == document["policies"]
    assert runs(tmp_path) == before
