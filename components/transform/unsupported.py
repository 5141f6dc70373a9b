"""The reason why a transformation is left to TFX's own executor."""

from __future__ import annotations


class UnsupportedError(Exception):
    """The fast path does not apply; the message says why, as the end of "TFX's own Transform is used: …"."""
