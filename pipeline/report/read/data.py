"""What ExampleGen read: the files of each split and their spans."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.report import formats
from pipeline.runs.metadata import Execution

_WILDCARDS = {"{SPAN}": "[0-9]+", "{VERSION}": "[0-9]+", "*": "[^/]*", "?": "[^/]"}
_WILDCARD = re.compile(r"(\{SPAN\}|\{VERSION\}|\*|\?)")


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
    """What was read: the pattern that was looked for, the sources by split and, where they were counted, rows by split."""

    pattern: str
    sources: Mapping[str, Source]
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The spans of each split, or the files where there are no spans."""
        texts = {split: source.spans_text or source.files_text for split, source in self.sources.items()}
        if len(set(texts.values())) == 1:
            return next(iter(texts.values()))
        return ", ".join(f"{split} {text}" for split, text in texts.items()) or formats.DASH


def data_of(example_gen: Execution | None) -> Data:
    """What an ExampleGen read; empty for one that did not say, as TFX's own do not."""
    properties = example_gen.properties if example_gen else {}
    pattern = str(properties.get("input_pattern", ""))
    files: dict[str, list[str]] = json.loads(properties.get("input_files", "{}"))
    folder = os.path.dirname(_WILDCARD.split(pattern)[0])
    sources = {split: Source(tuple(paths), _spans(paths, pattern), folder) for split, paths in files.items() if paths}
    examples = next(iter(example_gen.outputs.get("examples", ())), None) if example_gen else None
    return Data(pattern, sources, json.loads(examples.properties.get("rows", "{}")) if examples else {})


def _spans(paths: list[str], pattern: str) -> tuple[int, ...]:
    """What {SPAN} stands for in each path."""
    if "{SPAN}" not in pattern:
        return ()
    before, after = pattern.split("{SPAN}", 1)
    # A pattern may name the span twice; the first is enough.
    expression = re.compile(f"{_expression(before)}([0-9]+){_expression(after)}")
    matches = [expression.fullmatch(path) for path in paths]
    return tuple(sorted({int(match[1]) for match in matches if match}))


def _expression(pattern: str) -> str:
    return "".join(_WILDCARDS.get(part, re.escape(part)) for part in _WILDCARD.split(pattern))
