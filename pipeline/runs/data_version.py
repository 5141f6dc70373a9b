"""The version of the data that a run has read: the fingerprint of each span's content, beside that of its files today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.example_gen import properties
from components.example_gen.inputs import digests_of_files, fingerprint_of_span, input_spans
from components.example_gen.objects import local_copies
from pipeline.errors import DataError
from pipeline.runs.metadata import Execution
from pipeline.util.paths import is_object


@dataclass(frozen=True)
class SpanVersion:
    """A span as a run has read it, and as it is now.

    Attributes:
      number: the span's number; None where the data has no spans.
      files: its files as they were named.
      recorded: the fingerprint of their names and contents when they were read.
      seen: what they have now; None where one of them is gone or cannot be read.
      missing: those of them that are gone.
    """

    number: int | None
    files: tuple[str, ...]
    recorded: str
    seen: str | None
    missing: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the files are those that were read."""
        return self.seen == self.recorded


def fingerprint(example_gen: Execution) -> str:
    """The fingerprint of all that an ExampleGen has read, and of how it is divided into splits by span.

    Raises:
      DataError: the execution does not record it.
    """
    found = example_gen.properties.get(properties.FINGERPRINT, "")
    if not found or properties.INPUT_SPANS not in example_gen.properties:
        raise DataError(
            "The run does not say which version of the data it has read.",
            where=f"execution {example_gen.id} of ExampleGen",
            expected="a fingerprint of each span, as runs of Conveyor have it",
            fix="Run the pipeline again: conveyor run",
        )
    return str(found)


def compare(example_gen: Execution) -> Iterator[SpanVersion]:
    """Compares the spans that an ExampleGen has read with what their files hold now, by content.

    Args:
      example_gen: the execution that read them, not one that took its output from the cache.

    Yields:
      Each span once, also where it is in several splits.

    Raises:
      StorageError: an object store does not answer.
    """
    has_spans = "{SPAN}" in str(example_gen.properties[properties.INPUT_PATTERN])
    spans = {
        (span.number, span.files): span.content for found in input_spans(example_gen.properties).values() for span in found
    }
    for (number, files), recorded in sorted(spans.items()):
        missing = tuple(path for path in files if not is_object(path) and not Path(path).is_file())
        yield SpanVersion(number if has_spans else None, files, recorded, None if missing else _content(files), missing)


def to_document(example_gen: Execution, spans: list[SpanVersion]) -> dict[str, object]:
    """The comparison as JSON."""
    return {
        "fingerprint": fingerprint(example_gen),
        "pattern": example_gen.properties[properties.INPUT_PATTERN],
        "files": sorted(
            {path for paths in json.loads(example_gen.properties[properties.INPUT_FILES]).values() for path in paths}
        ),
        "spans": [
            {
                "span": span.number,
                "files": list(span.files),
                "recorded": span.recorded,
                "seen": span.seen,
                "missing": list(span.missing),
                "same": span.is_same,
            }
            for span in spans
        ],
    }


def _content(files: tuple[str, ...]) -> str | None:
    copies = local_copies(files)
    try:
        digests = digests_of_files(copies.values())
    except DataError:
        return None
    return fingerprint_of_span(files, {path: digests[copy] for path, copy in copies.items()})
