"""Imports that take seconds."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.util.stderr import stderr_to


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


@contextmanager
def quietly() -> Iterator[None]:
    """A block that imports and uses TensorFlow and its data validation, whose native code writes much to stderr.

    Its garbage stays for good, as with `heavy_imports`: what is done again and again belongs into `silently`.
    """
    with silently(), heavy_imports():
        yield


@contextmanager
def silently() -> Iterator[None]:
    """A block that uses what `quietly` has imported."""
    with Path(os.devnull).open("wb") as nowhere, stderr_to(nowhere):
        yield
