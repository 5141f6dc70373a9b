"""Imports that take seconds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """A block in which TFX, TensorFlow and the like are imported.

    The objects made at import stay for good. Searching them for garbage again and again takes a sixth of the time of the
    imports, and searching them in processes that are forked later copies their memory, 180 MB each.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
