"""The files of a table, and the pattern that names them in a configuration."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.example_gen.formats import format_of
from components.example_gen.spans import find_spans
from pipeline.contracts import input_pattern
from pipeline.errors import ConfigError, DataError, UsageError

_WILDCARDS = re.compile(r"[*?]|\{SPAN\}|\{VERSION\}")
_DIGITS = re.compile(r"\d+")
# TFX and Spark number the parts of one table so.
_SHARD = re.compile(r"(^|[-_./])part[-_]?\d+|-\d{5}-of-\d{5}")
_MOST_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """Where a table is.

    Attributes:
      pattern: an absolute pattern for `data.input`.
      files: how many files match it.
      spans: how many spans they are; 1 for a pattern without {SPAN}.
      reason: a sentence on the pattern where it was found out; empty otherwise.
    """

    pattern: str
    files: int
    spans: int
    reason: str = ""

    @property
    def stem(self) -> str:
        """What the table is called: the name of its file without endings, or of its folder where files are numbered."""
        path = Path(self.pattern)
        while path != path.parent:
            stem = re.sub(r"[^\w-]|_", "-", _WILDCARDS.sub("", path.name.split(".")[0])).strip("-")
            if stem and not stem.isdigit():
                return stem
            path = path.parent
        return "table"


def find(table: str) -> Source:
    """Finds the files of a table.

    Args:
      table: a file, a folder, or a pattern with `*`, `?`, {SPAN} and {VERSION}.

    Raises:
      UsageError: there is no such file, or the files do not look like one table.
    """
    path = Path(os.path.abspath(table))
    if path.is_dir():
        return _of_folder(path)
    pattern = str(path)
    spans = find_spans(pattern)
    return Source(pattern, sum(len(span.files) for span in spans), len(spans))


def _of_folder(folder: Path) -> Source:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    tables = [path for path in files if _is_table(path)]
    if not tables:
        raise UsageError(
            "The folder holds no table.",
            where=str(folder),
            expected="files of a format that can be read, such as CSV or Parquet",
            seen=", ".join(path.name for path in files[:_MOST_SHOWN]) or "no files",
            fix="Name a file, or the folder that the files are in.",
        )
    if len(tables) == 1:
        return Source(str(tables[0]), 1, 1)
    spanned = _spans(tables)
    if spanned is not None:
        found = find_spans(spanned)
        reason = "The names of the files hold a number that grows: each is a span of the data."
        return Source(spanned, len(tables), len(found), reason)
    pattern = _star(tables)
    if pattern is None:
        raise UsageError(
            "The files of the folder do not look like one table.",
            where=str(folder),
            expected="files with one ending in one folder, or names that differ in a number",
            seen=", ".join(str(path.relative_to(folder)) for path in tables[:_MOST_SHOWN])
            + (f" and {len(tables) - _MOST_SHOWN} more" if len(tables) > _MOST_SHOWN else ""),
            fix=f"Name the files of one table by a pattern, such as '{_likeliest(tables)}'.",
        )
    return Source(pattern, len(tables), 1)


def _spans(paths: Sequence[Path]) -> str | None:
    """The pattern with {SPAN} for paths that differ in a single number, which is not that of a part of one table."""
    texts = [str(path) for path in paths]
    if any(_SHARD.search(text) for text in texts):
        return None
    pieces = [_DIGITS.split(text) for text in texts]
    numbers = [_DIGITS.findall(text) for text in texts]
    if any(other != pieces[0] for other in pieces):
        return None
    varying = [place for place, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
    # A span's folder may repeat its number in the file's name.
    if not varying or any([row[place] for row in numbers] != [row[varying[0]] for row in numbers] for place in varying):
        return None
    if len({int(row[varying[0]]) for row in numbers}) < len(paths):
        return None
    parts = list(pieces[0][:1])
    for place, piece in enumerate(pieces[0][1:]):
        parts += ["{SPAN}" if place in varying else numbers[0][place], piece]
    pattern = "".join(parts)
    return pattern if _matches_exactly(pattern, texts) else None


def _likeliest(paths: Sequence[Path]) -> str:
    """The pattern `folder/*.ending` that matches the most of these paths: the others are notes beside the table."""
    alike = Counter((path.parent, _ending(path)) for path in paths)
    (folder, ending), _ = alike.most_common(1)[0]
    return f"{folder}/*{ending}"


def _star(paths: Sequence[Path]) -> str | None:
    """The pattern `folder/*.ending` where it matches these paths and no other."""
    folders, endings = {path.parent for path in paths}, {_ending(path) for path in paths}
    if len(folders) != 1 or len(endings) != 1:
        return None
    pattern = str(folders.pop() / f"*{endings.pop()}")
    return pattern if _matches_exactly(pattern, [str(path) for path in paths]) else None


def _matches_exactly(pattern: str, paths: Sequence[str]) -> bool:
    expression = input_pattern.regular_expression(pattern)
    found = [path for span in find_spans(pattern) for path in span.files]
    return sorted(found) == sorted(paths) and all(expression.fullmatch(path) for path in paths)


def _ending(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst", ".bz2") else path.suffix


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _is_table(path: Path) -> bool:
    try:
        format_of(os.fspath(path))
    except (ConfigError, DataError):
        return False
    return True
