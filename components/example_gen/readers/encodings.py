"""The encoding of text: by its byte order mark, by its form, or by a guess that is refused where it is not sure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from charset_normalizer import from_bytes

from pipeline.errors import DataError

# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = set("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜàáâãäåæçèéêëìíîïñòóôõöøùúûüßŒœŠšŽž")
_SYMBOLS = set("€£§©®°²³½¼¾«»¡¿ºª´·µ±×™‚„…–—‘’“”•\xa0")  # noqa: RUF001
_GARBLED = re.compile(r"[a-zß-öø-ÿ][À-ÖØ-ÞŒŠŽ]|[^\W\d_][£§©®³½¼¾¡¿µ±×™•][^\W\d_]|[£³¼¾¹][a-z]|[À-ÿŒœŠšŽž]{3}")  # noqa: RUF001
_GUESSED_BYTES = 1 << 15
_COHERENT = 0.3
_LEAD = 0.05
_SHOWN = 40


def marked_encoding(head: bytes) -> str | None:
    """The encoding that the byte order mark at the beginning of a file tells; None where there is no mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def find_encoding(path: str, heads: Iterable[bytes]) -> str:
    """The encoding of a table.

    UTF-8 is told by its form and UTF-16 by its zeros. Of the encodings of one byte a letter, Windows' Western European one is
    taken where the text then reads like a language that is written in it, and another where charset-normalizer finds that it
    reads like a language, and in no other encoding.

    Args:
      path: a file of the table, for the message.
      heads: the first bytes of files, of which those with a byte order mark say nothing about the others.

    Raises:
      DataError: the text is not UTF-8, and may be read in several ways.
    """
    lines: list[bytes] = []
    for head in heads:
        if marked_encoding(head):
            continue
        if zeros := _utf_16(head):
            return zeros
        if not _is_utf_8(head) and sum(map(len, lines)) < _GUESSED_BYTES:
            lines += [line for line in head.splitlines() if not line.isascii()]
    if not lines:
        return "utf-8"
    text = b"\n".join(lines)[:_GUESSED_BYTES]
    return _western(text) or _guess(path, text)


def encoding_of(head: bytes, usual: str) -> str:
    """The encoding of one file of a table, whose files may be written in several.

    Args:
      head: its first bytes, without a byte order mark.
      usual: the encoding that was found for the table. It is not that of files whose form tells that they are UTF-8 or UTF-16.
    """
    if usual == "utf-8":
        return usual
    if zeros := _utf_16(head):
        return zeros
    # Files of ASCII alone may go on in the other encoding, except in UTF-16.
    is_told = not head.isascii() or usual.startswith("utf-16")
    return "utf-8" if is_told and _is_utf_8(head) else usual


def _is_utf_8(head: bytes) -> bool:
    """Whether bytes are UTF-8, of which the last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(head: bytes) -> str | None:
    """Text of mostly Western letters has a zero in every other byte."""
    pairs = len(head) // 2
    if pairs == 0 or b"\0" not in head:
        return None
    low, high = head[0::2].count(0), head[1::2].count(0)
    if high > pairs / 2 and low < pairs / 10:
        return "utf-16-le"
    return "utf-16-be" if low > pairs / 2 and high < pairs / 10 else None


def _western(text: bytes) -> str | None:
    try:
        decoded = text.decode("cp1252")
    except UnicodeDecodeError:
        return None
    if {letter for letter in decoded if ord(letter) > 127} - _WESTERN - _SYMBOLS or _GARBLED.search(decoded):
        return None
    best = from_bytes(text).best()
    if best is not None and str(best) != decoded and best.coherence >= _COHERENT:
        return None
    return "cp1252"


def _guess(path: str, text: bytes) -> str:
    matches = sorted(from_bytes(text), key=lambda match: (-match.coherence, match.chaos, match.encoding))
    if matches:
        best = matches[0]
        rivals = [match for match in matches[1:] if str(match) != str(best)]
        if best.coherence >= _COHERENT and best.chaos == 0 and all(m.coherence < best.coherence - _LEAD for m in rivals):
            return best.encoding
    names = list(dict.fromkeys([*(match.encoding for match in matches[:3]), "cp1252"]))
    first = text.splitlines()[0]
    readings = "; ".join(f"as {name}: {first.decode(name, 'replace')[:_SHOWN]}" for name in names)
    raise DataError(
        "The text of the table is not UTF-8, and its encoding cannot be told.",
        where=path,
        expected="UTF-8, or an encoding that is named",
        seen=readings,
        fix=f"Set data.csv.encoding to the one that reads right, for example {names[0]}.",
    )
