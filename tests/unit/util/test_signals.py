"""Signals that end a command, and what it does before it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

COMMAND = """
import sys, time
import typer
from pipeline.cli.interruption import ending_on_signals

def wait() -> None:
    with ending_on_signals():
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("in order", flush=True)
            time.sleep(0.3)
            print("done", flush=True)

typer.run(wait)
"""


@pytest.fixture(autouse=True)
def of_a_terminal():
    """What tests start takes signals as on a terminal: below nohup, or in the background of a shell, it would ignore some."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_ends_a_command_that_puts_its_things_in_order(number):
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "in order\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "done\n")
    assert err.startswith(f"Interrupted by {number.name}: ")
    assert "The same command goes on from there" in err


def test_a_command_that_was_started_to_ignore_a_hang_up_goes_on():
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + COMMAND
    with subprocess.Popen(
        [sys.executable, "-c", ignoring], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM" in err


def test_a_terminal_that_has_hung_up_does_not_hide_the_signal():
    from pipeline.util.signals import Interruption, interruptible

    def hang_up() -> None:
        try:
            signal.raise_signal(signal.SIGHUP)
        except Interruption:
            raise OSError("the terminal is gone") from None

    before = signal.getsignal(signal.SIGHUP)
    with pytest.raises(Interruption, match="SIGHUP"), interruptible():
        hang_up()
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_signal_that_comes_where_python_ignores_exceptions_ends_the_block_all_the_same():
    from pipeline.util.signals import Interruption, interruptible

    class Collected:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            [None for _ in range(100)]

    def work() -> None:
        Collected()
        time.sleep(60)

    hook = sys.unraisablehook
    with pytest.raises(Interruption, match="SIGTERM"), interruptible():
        work()
    assert sys.unraisablehook is hook
