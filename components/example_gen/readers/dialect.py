"""The dialect of a table in text: how its files are cut into cells, and what marks numbers in cells have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """One dialect for all files of a table.

    Attributes:
      delimiter: the character between two fields.
      quote: the character around fields that contain a delimiter or a line break; None where there is none.
      escape: the character before a quote inside a quoted field; None where the quote is doubled.
      encoding: the codec's name in Python. A byte order mark at the beginning of a file goes before it.
      header: whether the first record has the columns' names; the names themselves where the files have none.
      comment: the character that lines begin with which are left out; None where there are none.
      skipped_lines: lines before the header or the first record, such as titles, that are left out.
      decimal: the decimal mark of numbers.
      thousands: the mark between groups of three digits; None where there is none.
      nulls: the words for null; None for those that usually stand for it.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool | tuple[str, ...] = True
    comment: str | None = None
    skipped_lines: int = 0
    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] | None = None
