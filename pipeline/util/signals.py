"""SIGTERM and SIGHUP end a command as Ctrl-C does: with an exception, so that it can put its things in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_MOMENT_SECONDS = 0.05
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption(KeyboardInterrupt):
    """A signal that ends the command.

    Attributes:
      signal: the signal.
      exit_code: the exit status by which shells know it, such as 130 for Ctrl-C.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)
        self.exit_code = 128 + number


def insisting(error: BaseException, number: int, handler: Callable[[int, FrameType | None], object]) -> BaseException:
    """An exception that a signal's handler raises, made sure of: where Python ignores it, the signal comes again in a moment.

    Python ignores what is raised in `__del__`, in callbacks of weak references and of the garbage collector, and in what it
    runs around a fork; a signal may come there as well. Only for the main thread.

    Args:
      error: the exception.
      number: the signal.
      handler: its handler.
    """
    others = sys.unraisablehook

    def notice(ignored: UnraisableHookArgs) -> None:
        if ignored.exc_value is not error:
            others(ignored)
            return
        sys.unraisablehook = others
        signal.signal(number, handler)
        threading.Timer(_MOMENT_SECONDS, os.kill, (os.getpid(), number)).start()

    sys.unraisablehook = notice
    return error


@contextmanager
def interruptible() -> Iterator[None]:
    """A context that signals end by `Interruption`, and only the first one: what puts things in order is not disturbed.

    A signal that the process was started to ignore, as by nohup, is ignored. Only for the main thread.

    Raises:
      Interruption: a signal came. It is raised as well if the block then failed otherwise: a terminal that has hung up cannot
        be written to.
    """
    came: list[Interruption] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        came.append(Interruption(number))
        raise insisting(came[0], number, end)

    hook = sys.unraisablehook
    handled = {each: signal.getsignal(each) for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN}
    for each in handled:
        signal.signal(each, end)
    try:
        yield
    except Exception as error:
        if came:
            raise came[0] from error
        raise
    finally:
        sys.unraisablehook = hook
        for each, before in handled.items():
            signal.signal(each, before)
