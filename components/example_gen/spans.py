"""The files that a run reads: the spans and versions that match the input pattern, and the spans of each split."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Split
from pipeline.contracts import input_pattern
from pipeline.errors import UsageError

_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")
_MOST_NAMES_SHOWN = 5


@dataclass(frozen=True)
class SingleSplit:
    """Every row in one split, for tables that are scored rather than trained on.

    Attributes:
      name: the split's name.
      spans: how many of the newest spans to read; all of them when None.
    """

    name: str = "all"
    spans: int | None = 1


@dataclass(frozen=True)
class Span:
    """One span in its newest version.

    Attributes:
      number: the number in the place of {SPAN}; 0 for a pattern without it.
      version: the number in the place of {VERSION}; None for a pattern without it.
      files: paths, sorted.
    """

    number: int
    version: int | None
    files: tuple[str, ...]


def find_spans(pattern: str) -> list[Span]:
    """The spans that exist, oldest first, each in its newest version.

    Args:
      pattern: a path with `*` and `?` as in a shell, and {SPAN} and {VERSION} for numbers.

    Raises:
      UsageError: the pattern has another placeholder, or matches no file.
    """
    unknown = sorted(set(_PLACEHOLDER.findall(pattern)) - {"{SPAN}", "{VERSION}"})
    if unknown:
        raise UsageError(
            "The input pattern has an unknown placeholder.",
            where=pattern,
            expected="{SPAN}, and optionally {VERSION}",
            seen=", ".join(unknown),
            fix="Write {SPAN} in the place of the span's number, and {VERSION} in the place of its version's.",
        )
    versions: dict[int, dict[int | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    expression = input_pattern.regular_expression(pattern)
    for path in sorted(glob.glob(input_pattern.glob_pattern(pattern))):
        match = expression.fullmatch(path)
        if match is None or os.path.isdir(path):
            continue
        numbers = {name: int(digits) for name, digits in match.groupdict().items()}
        versions[numbers.get("span", 0)][numbers.get("version")].append(path)
    if not versions:
        raise _no_match(pattern)
    spans = []
    for number, by_version in sorted(versions.items()):
        newest = max(by_version, key=lambda version: -1 if version is None else version)
        spans.append(Span(number, newest, tuple(by_version[newest])))
    return spans


def at_or_below(spans: Sequence[Span], newest_span: int | None) -> list[Span]:
    """The spans up to `newest_span`; all of them when it is None.

    Raises:
      UsageError: there are none.
    """
    kept = [span for span in spans if newest_span is None or span.number <= newest_span]
    if not kept:
        raise UsageError(
            f"The data has no span {newest_span} and no earlier one.",
            where="data.newest_span",
            expected=f"a number from {spans[0].number} on",
            seen=f"{newest_span}, while the spans that exist are {_numbers(spans)}",
            fix="Name a later span, or none to read the newest.",
        )
    return list(kept)


def select(spans: Sequence[Span], split: Split | SingleSplit) -> dict[str, list[Span]]:
    """The spans that the rows of each split are from.

    Args:
      spans: those that exist, oldest first; at least one.
      split: how rows are divided. A hashed split names the same spans for `train` and `eval`.

    Raises:
      UsageError: a window with too few spans for both `train` and `eval`.
    """
    if isinstance(split, SingleSplit):
        return {split.name: _newest(spans, split.spans)}
    if split.method == "hash":
        return {name: _newest(spans, split.spans) for name in ("train", "eval")}
    if len(spans) <= split.eval_spans:
        raise UsageError(
            "There are too few spans to train on some and evaluate on others.",
            where="data.split",
            expected=f"at least {split.eval_spans + 1} spans: {split.eval_spans} for evaluation, the rest for training",
            seen=f"{len(spans)}: {_numbers(spans)}",
            fix="Add the data of earlier spans, raise data.newest_span, or set data.split.method to hash.",
        )
    boundary = len(spans) - split.eval_spans
    return {"train": list(spans[max(0, boundary - split.train_spans) : boundary]), "eval": list(spans[boundary:])}


def _newest(spans: Sequence[Span], count: int | None) -> list[Span]:
    return list(spans if count is None else spans[-count:])


def _numbers(spans: Sequence[Span]) -> str:
    if len(spans) <= 2 * _MOST_NAMES_SHOWN:
        return ", ".join(str(span.number) for span in spans)
    return f"{spans[0].number} to {spans[-1].number} ({len(spans)} spans)"


def _no_match(pattern: str) -> UsageError:
    folder = Path(pattern if os.path.isdir(pattern) else input_pattern.folder(pattern) or ".")
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    shown = ", ".join(names[:_MOST_NAMES_SHOWN]) or "nothing"
    more = f" and {len(names) - _MOST_NAMES_SHOWN} more" if len(names) > _MOST_NAMES_SHOWN else ""
    return UsageError(
        "No file matches the input pattern.",
        where=pattern,
        expected="at least one file; {SPAN} and {VERSION} stand for digits, * for any part of one name",
        seen=f"{folder} contains {shown}{more}",
        fix="Correct data.input in the configuration, or put the data there.",
    )
