"""The processes of a pod: the first without TensorFlow, another in its place that has it, and one for each of several nodes."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import util
from types import FrameType
from typing import Any, NoReturn

from pipeline.util.signals import insisting

_MOMENT_SECONDS = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any] | int | None

HEAVY = ("apache_beam", "tensorflow", "tensorflow_model_analysis")
"""Packages of which TFX makes use where they are installed. Importing them takes most of the time in which a pod starts."""


def do_without_heavy_packages() -> None:
    """Makes TFX go without these packages in this process, as it does where they are not installed."""
    for name in HEAVY:
        sys.modules[name] = None  # type: ignore[assignment]


def start_again(module: str, arguments: Sequence[str]) -> NoReturn:
    """Puts another program in the place of this one: the pod goes on, with nothing of this process in memory.

    Args:
      module: the module to run.
      arguments: its command line.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def run_apart(work: Callable[[], int]) -> int:
    """Runs a function in a process of its own, which has in memory what this one has imported.

    What the function leaves in memory or sets, as options of TensorFlow, ends with it, and so does a crash. Only for the main
    thread.

    Args:
      work: returns the exit code.

    Returns:
      The exit code; negative where a signal ended the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # What a handler raised while Python forks would be swallowed, and right after that nobody would know of the child. To block
    # the signals is not enough: another thread would take them. In the child, Python forgets what has come already.
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _SIGNALS}
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child == 0:
        _end(work, handlers, came)
    try:
        _take_up(handlers, came)
        return _wait(child)
    except BaseException:
        # Where it has ended meanwhile, its status may have been read.
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        raise


def exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the process with an exception, so that the node's execution is marked in ML Metadata.

    A second signal does not disturb that: one to the whole group reaches a node's process by itself and through its parent.
    """
    signal.signal(number, signal.SIG_IGN)
    raise insisting(SystemExit(128 + number), number, exit_on_signal)


def _wait(child: int) -> int:
    """Waits for the end of a process without sleeping in the system until then.

    The system may give a signal to another thread, as it must while this one blocks it. Python then runs the handler only when
    the main thread comes back from the system, which it does not do for a signal that it did not get itself.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_MOMENT_SECONDS)


def _take_up(handlers: Mapping[signal.Signals, Handler], came: Sequence[int]) -> None:
    """Installs handlers again, and has them handle the signals that came meanwhile."""
    for number, handler in handlers.items():
        if handler is not None:  # Otherwise it was not Python that installed it.
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for each in came:
        signal.raise_signal(each)


def _end(work: Callable[[], int], handlers: Mapping[signal.Signals, Handler], came: Sequence[int]) -> NoReturn:
    code = 1
    # As multiprocessing does: what the parent will do at its end, such as the deletion of its files, is not done here.
    atexit._clear()
    atexit.register(util._exit_function)  # type: ignore[attr-defined]
    try:
        _take_up(handlers, came)
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        # Beam ends there what it has started.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
