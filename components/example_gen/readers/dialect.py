"""The dialect of a table in text: how its files are cut into cells, and what marks numbers in cells have."""

from __future__ import annotations

from dataclasses import dataclass

from components.example_gen.text.notation import Notation

_NAMES = {"\t": "tabs", " ": "spaces"}


@dataclass(frozen=True)
class Dialect:
    """One dialect for all files of a table.

    Attributes:
      delimiter: the character between two fields.
      quote: the character around fields that contain a delimiter or a line break; None where there is none.
      escape: the character before a quote inside a quoted field; None where the quote is doubled.
      encoding: the codec's name in Python. A byte order mark at the beginning of a file goes before it.
      encoding_is_set: whether it was set. One that was found out is not that of files which are UTF-8 by their form.
      header: whether the first record has the columns' names; the names themselves where the files have none.
      comment: the character that lines begin with which are left out; None where there are none.
      decimal: the decimal mark of numbers.
      thousands: the mark between groups of three digits; None where there is none.
      nulls: the words for null in every column; None where none are set.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    encoding_is_set: bool = False
    header: bool | tuple[str, ...] = True
    comment: str | None = None
    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] | None = None

    @property
    def notation(self) -> Notation:
        """How numbers and nulls are written in cells. Words for null that were set are no cells any more."""
        return Notation(self.decimal, self.thousands)

    def __str__(self) -> str:
        """What differs from the usual, in words; empty where nothing does."""
        marks = [
            (self.delimiter != ",", f"fields separated by {_NAMES.get(self.delimiter, self.delimiter)}"),
            (self.quote != '"', f"quotes {self.quote}" if self.quote else "no quotes"),
            (self.escape is not None, f"quotes escaped by {self.escape}"),
            (self.encoding != "utf-8", f"the encoding {self.encoding}"),
            (self.comment is not None, f"comments after {self.comment}"),
            (self.decimal != ".", "decimal commas"),
            (self.thousands is not None, f"thousands separated by {self.thousands}"),
            (self.header is False, "no header: the columns are column0, column1 and so on"),
        ]
        return ", ".join(text for differs, text in marks if differs)
