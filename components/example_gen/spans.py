"""The files that a run reads: the spans and versions that match the input pattern, and the spans of each split."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.example_gen.objects import listed
from pipeline.config import Split
from pipeline.contracts import input_pattern
from pipeline.errors import UsageError
from pipeline.util.paths import is_object

_LARGEST_NUMBER = 2**63 - 1
"""ML Metadata keeps spans and versions as 64-bit integers."""
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
      files: paths or addresses, sorted.
    """

    number: int
    version: int | None
    files: tuple[str, ...]


def find_spans(pattern: str) -> list[Span]:
    """The spans that exist, oldest first, each in its newest version.

    Args:
      pattern: a path, or the address of objects, with `*` and `?` as in a shell, and {SPAN} and {VERSION} for numbers.

    Raises:
      UsageError: the pattern has another placeholder or matches no file; a path can be read in two ways, has a number of more
        than 63 bits or a part of a date; a number is written in two ways; objects may not be read.
      StorageError: an object store does not answer.
    """
    input_pattern.check(pattern)
    versions: dict[int, dict[int | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    written: dict[tuple[int, int | None], tuple[str | None, str]] = {}
    expression = input_pattern.regular_expression(pattern)
    candidates = listed(pattern) if is_object(pattern) else sorted(glob.glob(input_pattern.glob_pattern(pattern)))
    for path in candidates:
        if expression.fullmatch(path) is None or os.path.isdir(path):
            continue
        digits = _numbers_in(pattern, path)
        span, version = (None if number is None else int(number) for number in digits)
        key = (span or 0, version)
        for written_number, text in {(key[0], None): digits[0], key: digits[0] if version is None else digits[1]}.items():
            earlier, example = written.setdefault(written_number, (text, path))
            if earlier != text:
                raise _written_in_two_ways(written_number, example, path)
        versions[key[0]][version].append(path)
    if not versions:
        raise _no_match(pattern, candidates)
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
      split: how rows are divided. Every method but `window` names the same spans for `train` and `eval`.

    Raises:
      UsageError: a window with too few spans for both `train` and `eval`.
    """
    if isinstance(split, SingleSplit):
        return {split.name: _newest(spans, split.spans)}
    if split.method != "window":
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


def _numbers_in(pattern: str, path: str) -> input_pattern.Numbers:
    """The digits of a path's span and version, which must be whole numbers that can be told from others in the path."""
    readings = sorted(input_pattern.readings(pattern, path), key=str)
    if len(readings) > 1:
        seen = " or ".join(" and ".join(digits for digits in numbers if digits is not None) for numbers in readings)
        raise UsageError(
            "The input pattern can be read in two ways.",
            where=path,
            expected=f"one number in the place of {' and of '.join(_placeholders(pattern))} in {pattern}",
            seen=f"{seen}: nothing tells which",
            fix="Replace a `*` in the pattern by what stands in its place before or after the number in the files' names.",
        )
    if date := input_pattern.date_in(pattern, path):
        raise UsageError(
            "The number in the place of {SPAN} is a part of a longer one.",
            where=path,
            expected=f"a whole number in the place of {' and of '.join(_placeholders(pattern))} in {pattern}",
            seen=date,
            fix="Rename the files so that nothing stands between the digits of a date, as in 20240131; or, if one part "
            f"alone is meant, write what divides it from the others into the pattern: {_with_divider(pattern, date)}",
        )
    for digits in readings[0]:
        if digits is not None and int(digits) > _LARGEST_NUMBER:
            raise UsageError(
                "The number of a span or version is too large.",
                where=path,
                expected=f"at most {_LARGEST_NUMBER}",
                seen=digits,
                fix="Rename the files: number them from 1, or by day as in 20240131.",
            )
    return readings[0]


def _placeholders(pattern: str) -> list[str]:
    return [placeholder for placeholder in ("{SPAN}", "{VERSION}") if placeholder in pattern]


def _with_divider(pattern: str, date: str) -> str:
    """The pattern with the character of the date that divides numbers between a wildcard and a placeholder beside it."""
    divider = re.sub("[0-9]", "", date)[0]
    return re.sub(r"(?<=[*?])(?=\{)|(?<=\})(?=[*?])", divider, pattern)


def _written_in_two_ways(number: tuple[int, int | None], first: str, second: str) -> UsageError:
    span, version = number
    name = f"span {span}" if version is None else f"version {version} of span {span}"
    return UsageError(
        f"The number of {name} is written in two ways.",
        where=second,
        expected=f"the same digits as in {first}",
        seen=f"{first} beside {second}",
        fix="Rename the files so that the number has the same digits in all of them, or remove those that are left over.",
    )


def _no_match(pattern: str, candidates: Sequence[str]) -> UsageError:
    """The error for a pattern that nothing matches.

    Args:
      pattern: the pattern.
      candidates: the paths that were compared with it.
    """
    date = next((path for path in candidates if input_pattern.dated(pattern).fullmatch(path)), None)
    if date is not None:
        return UsageError(
            "No file matches the input pattern: a date with dashes is several numbers.",
            where=pattern,
            expected="digits alone in the place of {SPAN} and {VERSION}",
            seen=date,
            fix="Rename the files so that nothing stands between the digits of a date, as in 20240131.",
        )
    folder, names = _objects_there(pattern, candidates) if is_object(pattern) else _files_there(pattern)
    shown = ", ".join(names[:_MOST_NAMES_SHOWN]) or "nothing"
    more = f" and {len(names) - _MOST_NAMES_SHOWN} more" if len(names) > _MOST_NAMES_SHOWN else ""
    return UsageError(
        "No file matches the input pattern.",
        where=pattern,
        expected="at least one file; {SPAN} and {VERSION} stand for digits, * for any part of one name",
        seen=f"{folder} contains {shown}{more}",
        fix="Correct the path, or put the data there.",
    )


def _files_there(pattern: str) -> tuple[str, list[str]]:
    """The folder that the pattern leads to as far as it exists, and the names in it."""
    folder = Path(pattern if os.path.isdir(pattern) else input_pattern.folder(pattern) or ".")
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return str(folder), sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())


def _objects_there(pattern: str, addresses: Sequence[str]) -> tuple[str, list[str]]:
    folder = input_pattern.folder(pattern)
    return folder, [address[len(folder) + 1 :] for address in addresses]
