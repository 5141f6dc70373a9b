"""The record of spans in an `Examples` artifact, which says how many of a split's rows are of which span.

ExampleGen writes it, beside the splits, with more than is read here (`components/shared/examples/stored_spans.py`).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

FILE_NAME = "spans.json"
"""The file in the artifact."""


class _Part(BaseModel):
    split: str
    rows: int


class _Span(BaseModel):
    parts: dict[str, _Part]


class _Record(BaseModel):
    spans: list[_Span]


def rows_of_spans(uri: str, split: str) -> list[int]:
    """How many rows of a split are of each span, in the order of its rows; nothing where that is not recorded.

    Args:
      uri: the artifact's folder.
      split: the split's name.
    """
    try:
        record = _Record.model_validate_json(Path(uri, FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return []
    return [part.rows for span in record.spans for part in span.parts.values() if part.split == split]
