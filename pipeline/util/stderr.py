"""Sends stderr elsewhere, with what native code and started processes write to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def stderr_to(file: IO[bytes]) -> Iterator[None]:
    """Within this context, everything that is written to file descriptor 2 goes to `file`.

    Args:
      file: an open file with a descriptor.
    """
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
