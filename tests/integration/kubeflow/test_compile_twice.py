"""The same configuration compiles to the same bytes, whatever order a process keeps its maps in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config.loading import load_config
from pipeline.errors import ConfigError
from pipeline.kubeflow.submission import compile_apart

FLIGHTS = Path(__file__).resolve().parents[3] / "examples" / "flights" / "pipeline.yaml"
CONVEYOR = Path(sys.executable).with_name("conveyor")


def test_every_process_compiles_the_same_bytes(tmp_path):
    paths = [tmp_path / f"{number}.yaml" for number in range(2)]
    for path in paths:
        done = subprocess.run([CONVEYOR, "compile", FLIGHTS, "--output", path], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 2, "TensorFlow's start-up messages are kept back"

    # As `submit` does, which follows the run for longer than it should keep TensorFlow in memory.
    assert {compile_apart(load_config(FLIGHTS, ())), *(path.read_text() for path in paths)} == {paths[0].read_text()}


def test_a_process_of_its_own_tells_what_is_wrong_with_a_configuration():
    with pytest.raises(ConfigError, match="Pods can read and write nothing but the volume") as caught:
        compile_apart(load_config(FLIGHTS, ("push.destination=/elsewhere",)))

    assert caught.value.where == "push.destination"
