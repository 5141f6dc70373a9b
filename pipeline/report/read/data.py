"""Reads from an execution of ExampleGen which files and spans each split comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.contracts import input_pattern
from pipeline.report import formats
from pipeline.runs.metadata import Execution


@dataclass(frozen=True)
class Source:
    """Where the rows of a split come from: files, the spans among them, and the folder that they are all in.

    A hashed split reads the same files for `train` and `eval`.
    """

    files: tuple[str, ...]
    spans: tuple[int, ...]
    folder: str

    @property
    def spans_text(self) -> str:
        """The spans with neighbours joined; empty for an input without spans."""
        return f"span{'s' if len(self.spans) > 1 else ''} {formats.ranges(self.spans)}" if self.spans else ""

    @property
    def files_text(self) -> str:
        """The first and the last file."""
        names = [os.path.relpath(path, self.folder) for path in (self.files[0], self.files[-1])]
        return names[0] if len(self.files) == 1 else f"{len(self.files)} files, {names[0]} to {names[1]}"


@dataclass(frozen=True)
class Data:
    """The data of a run.

    Attributes:
      pattern: the input's pattern.
      sources: where the rows of each split come from.
      rows: how many each split has, where they were counted.
      division: how rows were divided between the splits, in words such as "by span".
      boundary: the first value of `eval` in the column by which rows were divided, such as `2013-11-02`; empty where none was.
    """

    pattern: str
    sources: Mapping[str, Source]
    rows: Mapping[str, int] = field(default_factory=dict)
    division: str = ""
    boundary: str = ""

    @property
    def summary(self) -> str:
        """The spans of each split, or the files where there are no spans."""
        texts = {split: source.spans_text or source.files_text for split, source in self.sources.items()}
        if len(set(texts.values())) == 1:
            return next(iter(texts.values()))
        return ", ".join(f"{split} {text}" for split, text in texts.items()) or formats.DASH

    @property
    def rows_text(self) -> str:
        """The number of rows of each split, and how they were divided."""
        counts = ", ".join(f"{split} {formats.number(count)}" for split, count in self.rows.items())
        return f"{counts}; divided {self.division}" if self.division else counts


def data_of(example_gen: Execution | None) -> Data:
    """The data that an ExampleGen read; empty where its execution does not record it, as TFX's own do not."""
    properties = example_gen.properties if example_gen else {}
    pattern = str(properties.get("input_pattern", ""))
    files: dict[str, list[str]] = json.loads(properties.get("input_files", "{}"))
    folder = input_pattern.folder(pattern)
    sources = {split: Source(tuple(paths), _spans(paths, pattern), folder) for split, paths in files.items() if paths}
    examples = next(iter(example_gen.outputs.get("examples", ())), None) if example_gen else None
    made = examples.properties if examples else {}
    rows = json.loads(made.get("rows", "{}"))
    return Data(pattern, sources, rows, str(made.get("division", "")), str(made.get("boundary", "")))


def _spans(paths: list[str], pattern: str) -> tuple[int, ...]:
    """The spans that the paths belong to."""
    if "{SPAN}" not in pattern:
        return ()
    expression = input_pattern.regular_expression(pattern)
    return tuple(sorted({int(match["span"]) for path in paths if (match := expression.fullmatch(path))}))
