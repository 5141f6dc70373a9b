"""CSV and other delimited text, in the dialect that was found out or set.

Arrow infers a column's type from the first block of a file and fails on a later one that differs. Here all blocks are read as
text, and what they show of a column adds up. An empty field is null.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.evidence import Evidence
from components.example_gen.readers.delimited import DelimitedFile
from components.example_gen.readers.dialect import Dialect


class CsvReader:
    """Reads the files of a table that have one dialect.

    Args:
      dialect: theirs.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def scan(self, path: str, ignored: Collection[str]) -> FileSummary:
        """Reads the whole file for the number of rows and the forms of the values in each column.

        Raises:
          DataError: the file is empty, ragged, or not in the encoding of the table.
        """
        rows = 0
        notation = self.dialect.notation
        file = DelimitedFile(path, self.dialect)
        columns = {name: Evidence() for name in file.names}
        for batch in file.batches([name for name in columns if name not in ignored]):
            rows += batch.num_rows
            for name in batch.schema.names:
                columns[name] += Evidence.of_text(batch.column(name), notation)
        return FileSummary(path, rows, columns)

    def batches(self, path: str, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The cells as text (string), in blocks of about 4 MiB; an empty field is null.

        Raises:
          DataError: the file is empty, ragged, or not in the encoding of the table.
        """
        yield from DelimitedFile(path, self.dialect).batches(columns)

    def place_of(self, path: str, row: int) -> str:
        """The line that a row begins in."""
        return f"line {DelimitedFile(path, self.dialect).line_of(row):,}"
