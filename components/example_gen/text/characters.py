"""Quick looks at the bytes of many texts at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def has_letters(texts: pa.StringArray) -> bool:
    """Whether some text has a character from A on: a letter, or anything that is not ASCII."""
    offsets, data = _buffers(texts)
    return bool((data[offsets[0] : offsets[-1]] >= ord("A")).any())


def are_canonical(texts: pa.StringArray) -> bool:
    """Whether all texts, which are whole numbers of decimal digits, are as a number is written: no leading zero, no plus.

    Args:
      texts: without nulls and empty texts.
    """
    offsets, data = _buffers(texts)
    starts, ends = offsets[:-1], offsets[1:]
    first = data[starts]
    is_negative = first == ord("-")
    digits = starts + is_negative
    has_zero = (data[digits] == ord("0")) & (ends - digits > 1)
    return not ((first == ord("+")) | has_zero).any()


def _buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return bounds, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
