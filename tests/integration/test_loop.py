"""`conveyor loop` with a real run on a small table: it is run once, and pushes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.integration

CONVEYOR = Path(sys.executable).with_name("conveyor")


def write_span(folder: Path, span: int) -> None:
    random = np.random.default_rng(span)
    x, y = random.normal(size=(2, 300))
    frame = pd.DataFrame({"x": x, "y": y, "label": (x + y + 0.1 * random.normal(size=300)).round(4)})
    frame.to_csv(folder / f"span-{span}.csv", index=False)


def loop(folder: Path, *arguments: str) -> str:
    done = subprocess.run([str(CONVEYOR), "loop", *arguments], cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_there_is_a_reason_for_is_run_once_and_pushed(tmp_path: Path) -> None:
    write_span(tmp_path, 1)
    config = {
        "name": "growing",
        "task": "regression",
        "label": "label",
        "data": {"input": "span-{SPAN}.csv"},
        "model": {"kind": "linear"},
        "infra_validator": {"enabled": False},
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config))

    assert "run: no version has been pushed: version 1 was pushed" in loop(tmp_path, "--once")
    # Nothing was logged, so nothing is known of drift.
    assert "there is no reason to run" in loop(tmp_path, "--once")
    write_span(tmp_path, 2)
    assert "span 2 is still being written" in loop(tmp_path, "--once")

    decisions = json.loads(loop(tmp_path, "--list", "--json"))["decisions"]
    assert [(each["action"], each["state"]) for each in decisions] == [
        ("run", "begun"),
        ("run", "ended"),
        ("wait", "ended"),
        ("wait", "ended"),
    ]
    assert decisions[1]["run"] in {path.name for path in (tmp_path / ".conveyor" / "runs" / "growing").iterdir()}
