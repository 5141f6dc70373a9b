"""The beginnings of a table's files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from components.example_gen.files import read_beyond_ascii, read_head
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.encodings import encoding_of, marked_encoding
from components.example_gen.readers.records import Record, sample_of

HEAD_BYTES = 1 << 20
_SAMPLE_CHARS = 1 << 16
_FEWEST_LINES = 20


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Attributes:
      path: the file.
      content: its first bytes.
      complete: whether it has no more.
    """

    path: str
    content: bytes
    complete: bool

    @classmethod
    def read(cls, path: str, size: int = HEAD_BYTES) -> Head:
        """Reads it.

        Raises:
          DataError: the file is empty, cannot be read, or is compressed and damaged.
        """
        content = read_head(path, size + 1)
        return cls(path, content[:size], len(content) <= size)

    def sample(self, dialect: Dialect) -> list[Record]:
        """The first records under a dialect."""
        text = self.text(dialect)
        return sample_of(text, dialect, complete=self.complete and len(text) == len(self.decoded(dialect)))

    def text(self, dialect: Dialect) -> str:
        """The text of the first records: 64 Ki characters or twenty lines, whichever is more."""
        text = self.decoded(dialect)
        end = -1
        for _ in range(_FEWEST_LINES):
            end = text.find("\n", end + 1)
            if end < 0:
                return text
        return text[: max(end + 1, _SAMPLE_CHARS)]

    def encoding(self, dialect: Dialect) -> str:
        """The encoding of the file: its mark's, the table's that was set, or its own where the table's was found out."""
        if marked := marked_encoding(self.content):
            return marked
        if dialect.encoding_is_set or dialect.encoding == "utf-8":
            return dialect.encoding
        return encoding_of(self._telling, dialect.encoding)

    @cached_property
    def _telling(self) -> bytes:
        """The bytes by whose form the encoding is told: the first, or, where these are ASCII's, the first that are not."""
        is_open = not self.complete and self.content.isascii() and b"\0" not in self.content
        return (read_beyond_ascii(self.path, HEAD_BYTES) if is_open else b"") or self.content

    def decoded(self, dialect: Dialect) -> str:
        """All of its text, in which characters that are not in the encoding are replaced."""
        return self.content.decode(self.encoding(dialect), "replace")
