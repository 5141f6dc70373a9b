"""Imports that take seconds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """A block in which TFX, TensorFlow and the like are imported.

    What they make at import is there to stay. To look through it for garbage time and again takes a sixth of the time of the
    imports; and to do so in processes that are forked later copies its memory, 180 MB each.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
