"""The same configuration compiles to the same bytes, whatever order a process keeps its maps in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CONVEYOR = Path(sys.executable).with_name("conveyor")


def test_every_process_compiles_the_same_bytes(tmp_path):
    paths = [tmp_path / f"{number}.yaml" for number in range(3)]
    for path in paths:
        command = [CONVEYOR, "compile", REPOSITORY / "examples" / "flights" / "pipeline.yaml", "--output", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 2, "TensorFlow's start-up messages are kept back"

    assert len({path.read_bytes() for path in paths}) == 1
