"""The files of a table that is read by itself rather than by ExampleGen."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

from components.example_gen.columns import FileSummary
from components.example_gen.inputs import digests_of_files, fingerprint_of_span, fingerprint_of_splits, format_of_files
from components.example_gen.objects import local_copies, told_by_address
from components.example_gen.readers import Reader, open_reader
from components.example_gen.spans import SingleSplit, Span, at_or_below, find_spans, select
from pipeline.config import Data


@dataclass(frozen=True)
class TableFiles:
    """The files of a table, found as ExampleGen finds them.

    Attributes:
      split: the split that all rows are in.
      spans: the spans that are read.
      copies: where the files can be opened, by path or address, in the order of the rows.
      reader: a reader of their format.
    """

    split: str
    spans: tuple[Span, ...]
    copies: dict[str, str]
    reader: Reader

    @classmethod
    def find(cls, data: Data, split: SingleSplit) -> TableFiles:
        """Finds the files, and brings those of an object store to this machine.

        Args:
          data: where the rows are; its `input` is an absolute path, relative to the working directory, or an address.
          split: which of the spans to read, up to `data.newest_span`.

        Raises:
          UsageError: no file matches, or the span does not exist.
          ConfigError: the files' format cannot be derived from their names.
          DataError: a file is damaged, or the dialect of the files cannot be found out.
          StorageError: an object store does not answer.
        """
        spans = select(at_or_below(find_spans(data.input), data.newest_span), split)[split.name]
        copies = local_copies(path for span in spans for path in span.files)
        with told_by_address(copies):
            paths = list(copies.values())
            return cls(split.name, tuple(spans), copies, open_reader(format_of_files(data.format, paths), paths, data.csv))

    def scan(self, ignored: Collection[str] = ()) -> list[FileSummary]:
        """Reads as much of the files as is needed for their numbers of rows and the types of their columns, in order.

        Args:
          ignored: columns whose values are of no interest.

        Raises:
          DataError: a file is damaged.
        """
        with told_by_address(self.copies), ThreadPoolExecutor() as pool:
            return list(pool.map(self.reader.scan, self.copies.values(), repeat(ignored)))

    def fingerprint(self) -> str:
        """The fingerprint of the content that the files have now, as ExampleGen's driver makes it.

        Raises:
          DataError: a file cannot be read.
        """
        with told_by_address(self.copies):
            by_copy = digests_of_files(self.copies.values())
        digests = {path: by_copy[copy] for path, copy in self.copies.items()}
        return fingerprint_of_splits({self.split: [fingerprint_of_span(span.files, digests) for span in self.spans]})
