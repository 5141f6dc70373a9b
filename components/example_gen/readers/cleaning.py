"""Text as Arrow can read it, whose reader has no comments and takes every escaped letter for itself."""

from __future__ import annotations

import io
import re
from typing import Protocol

from components.example_gen.readers.dialect import Dialect

_CHUNK_BYTES = 1 << 20


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def needs_cleaning(dialect: Dialect) -> bool:
    """Whether text of a dialect has something that Arrow takes for another thing."""
    return dialect.comment is not None or dialect.escape is not None


class Cleaned(io.RawIOBase):
    r"""A stream of UTF-8 in which lines that are comments are blank, so that the lines keep their numbers.

    A line within quotes is no comment, whatever it begins with. Where a backslash escapes, a field that is \N is empty: it is
    MySQL's null, which Arrow would take for an escaped letter.

    Args:
      source: the stream.
      dialect: that of the text.
    """

    def __init__(self, source: _Source, dialect: Dialect) -> None:
        self._source = source
        self._comment = dialect.comment.encode() if dialect.comment else None
        between = re.escape(dialect.delimiter).encode()
        self._quotes = _Quotes(dialect.quote, dialect) if dialect.quote else None
        self._null = re.compile(rb"(^|" + between + rb")\\N(?=" + between + rb"|[\r\n]|$)") if dialect.escape else None
        self._within_quotes = False
        self._rest = b""
        self._ready = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        while not self._ready and self._fill():
            pass
        end = len(self._ready) if size < 0 else size
        taken, self._ready = self._ready[:end], self._ready[end:]
        return taken

    def _fill(self) -> bool:
        chunk = self._source.read(_CHUNK_BYTES)
        block = self._rest + chunk
        # A line may end in the next chunk.
        end = len(block) if not chunk else max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
        self._rest = block[end:]
        self._ready = b"".join(map(self._kept, block[:end].splitlines(keepends=True)))
        return bool(chunk)

    def _kept(self, line: bytes) -> bytes:
        if self._comment and line.startswith(self._comment) and not self._within_quotes:
            return line[len(line.rstrip(b"\r\n")) :]
        if self._quotes:
            self._within_quotes = self._quotes.are_open_after(line, self._within_quotes)
        return self._null.sub(rb"\1", line) if self._null else line


class _Quotes:
    """Where quotes have a meaning: at the beginning of a field and until the field ends, as Arrow and Python take them."""

    def __init__(self, quote: str, dialect: Dialect) -> None:
        self._mark = quote.encode()
        mark, between = re.escape(quote), re.escape(dialect.delimiter)
        escape = re.escape(dialect.escape) if dialect.escape else ""
        plain = f"[^{mark}{escape}]*"
        inner = f"(?:{mark}{mark}|{escape}.)" if escape else mark * 2
        self._opening = re.compile(f"(?:^(?:\N{BYTE ORDER MARK})?|{between}){mark}".encode())
        self._closing = re.compile(f"{plain}(?:{inner}{plain})*{mark}(?!{mark})".encode(), re.DOTALL)

    def are_open_after(self, line: bytes, within: bool) -> bool:
        """Whether a line ends within quotes, if it begins within some or not."""
        if self._mark not in line:
            return within
        place = 0
        while found := self._closing.match(line, place) if within else self._opening.search(line, place):
            within, place = not within, found.end()
        return within
