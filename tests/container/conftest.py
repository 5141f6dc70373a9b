"""The task image, built once for all tests of this folder.

CONVEYOR_BASE_IMAGE names another base image than the Dockerfile does, CONVEYOR_BUILD_NETWORK the network of the build.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.util.programs import check_program
from tests.container.runner import CONFINED

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "examples" / "flights" / "pipeline.yaml"
CONVEYOR = Path(sys.executable).with_name("conveyor")
NAME = "conveyor:test"


@dataclass(frozen=True)
class BuiltImage:
    """What `conveyor image build` made, and what it said."""

    name: str
    output: str

    @property
    def gigabytes(self) -> float:
        """The size that it reported."""
        reported = re.search(rf"{self.name}: ([\d.]+) GB", self.output)
        assert reported, self.output
        return float(reported[1])

    def run(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Runs a command in a container without a network and without anything to write to but /tmp."""
        line = ["docker", "run", "--rm", *CONFINED, "--tmpfs=/tmp", *options, self.name, *command]
        return subprocess.run(line, capture_output=True, text=True, timeout=120)

    def python(self, program: str, *, options: tuple[str, ...] = ()) -> str:
        """Runs a Python program in a container and returns what it prints."""
        done = self.run("python", "-c", program, options=options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def image() -> BuiltImage:
    engine = check_program("docker")
    if not engine.ok:
        pytest.skip(f"these tests need a Docker engine: {engine.seen}. To get one: {engine.fix}")
    options = []
    if base := os.environ.get("CONVEYOR_BASE_IMAGE"):
        options += ["--build-arg", f"BASE_IMAGE={base}"]
    if network := os.environ.get("CONVEYOR_BUILD_NETWORK"):
        options += ["--network", network]
    command = [str(CONVEYOR), "image", "build", str(CONFIG), "--set", f"kubeflow.image={NAME}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return BuiltImage(NAME, done.stdout)
