"""The rows of each span, as the Trainer reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.contracts.spans import FILE_NAME, rows_of_spans


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"spans": [{}]}'])
def test_spans_that_are_not_recorded_are_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_text(content)
    assert rows_of_spans(str(tmp_path), "train") == []
