"""The most memory that a process has had."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import subprocess, sys
from pipeline.util.memory import peak_bytes
before = peak_bytes()
if sys.argv[1] == "itself":
    large = bytearray(b"x" * 200_000_000)
    del large
else:
    subprocess.run([sys.executable, "-c", "bytearray(b'x' * 200_000_000)"], check=True)
print(before, peak_bytes())
"""


def peaks(who: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, who], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    return before, after


def test_it_is_what_was_had_and_not_what_is_left():
    before, after = peaks("itself")
    assert before < 150_000_000
    assert after > 200_000_000


def test_programs_that_a_process_has_waited_for_count():
    before, after = peaks("another")
    assert before < 150_000_000
    assert after > 200_000_000
