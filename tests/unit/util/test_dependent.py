"""A program ends with the one that has started it, also where that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.util import dependent

_CHILD = """
import os, pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path(sys.argv[1]).with_suffix(".ended").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
partial = pathlib.Path(sys.argv[1]).with_suffix(".partial")
partial.write_text(str(os.nice(0)))
partial.rename(sys.argv[1])
time.sleep(600)
"""
_PARENT = """
import subprocess, sys
from pipeline.util import dependent
subprocess.Popen(dependent.command([sys.executable, "-c", *sys.argv[1:]], niceness=5)).wait()
"""


def wait_for(path: Path) -> None:
    end = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.02)


def test_it_gets_a_signal_when_the_one_that_has_started_it_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with subprocess.Popen([sys.executable, "-c", _PARENT, _CHILD, str(started)]) as parent:
        wait_for(started)
        parent.send_signal(signal.SIGKILL)
    assert int(started.read_text()) >= min(os.nice(0) + 5, 19)
    wait_for(tmp_path / "started.ended")


def test_it_does_not_begin_when_that_one_has_ended_already(tmp_path: Path) -> None:
    path = tmp_path / "begun"
    line = dependent.command([sys.executable, "-c", f"open({str(path)!r}, 'w')"])
    line[3] = str(os.getppid())
    assert subprocess.run(line, timeout=90).returncode == 0
    assert not path.exists()


def test_its_exit_code_is_that_of_the_program() -> None:
    assert subprocess.run(dependent.command([sys.executable, "-c", "raise SystemExit(7)"]), timeout=90).returncode == 7
