"""The pattern of the input's paths: `*` and `?` as in a shell, and {SPAN} and {VERSION} for whole numbers.

A placeholder stands for all digits that stand together: in `*{SPAN}.csv`, the star takes none of them, and `file12.csv` is of
span 12.
"""

from __future__ import annotations

import glob
import os
import re

from pipeline.errors import UsageError
from pipeline.util.paths import is_object, require_path

_PLACEHOLDERS = ("{SPAN}", "{VERSION}")
_TOKENS = re.compile(r"(\{SPAN\}|\{VERSION\}|\*|\?)")
_UNKNOWN = re.compile(r"\{[^{}/]*\}")
_WILDCARDS = {"*": "[^/]*", "?": "[^/]"}

Numbers = tuple[str | None, str | None]
"""The digits of a path's span and version, as they are written; None for a placeholder that the pattern does not have."""


def check(pattern: str, known: tuple[str, ...] = ()) -> None:
    """Checks that a pattern has one meaning.

    Args:
      pattern: the pattern.
      known: placeholders that are replaced before the pattern is used, such as {workspace}.

    Raises:
      UsageError: it is an address of anything but objects in S3 or Cloud Storage, has a placeholder that does not exist, or two
        with nothing between them.
    """
    if not is_object(pattern):
        require_path(pattern)
    unknown = sorted(set(_UNKNOWN.findall(pattern)) - {*_PLACEHOLDERS, *known})
    if unknown:
        raise UsageError(
            "The input pattern has an unknown placeholder.",
            where=pattern,
            expected="{SPAN}, and optionally {VERSION}",
            seen=", ".join(unknown),
            fix="Write {SPAN} in the place of the span's number, and {VERSION} in the place of its version's.",
        )
    if adjoining := re.search(r"(\{SPAN\}|\{VERSION\}){2}", pattern):
        raise UsageError(
            "The input pattern has two numbers with nothing between them, so nobody can tell where the first one ends.",
            where=pattern,
            expected="a letter, a dash or a slash between {SPAN} and {VERSION}",
            seen=adjoining[0],
            fix="Name the files so that something divides the numbers, and write it into the pattern: {SPAN}-{VERSION}",
        )


def glob_pattern(pattern: str) -> str:
    """The pattern for Python's `glob`, which matches anything in the place of a number."""
    parts = {"*": "*", "?": "?", "{SPAN}": "*", "{VERSION}": "*"}
    return "".join(parts.get(token) or glob.escape(token) for token in _TOKENS.split(pattern))


def regular_expression(pattern: str) -> re.Pattern[str]:
    """An expression for whole paths, with the groups `span` and `version`. A number named twice is the same in both places."""
    tokens = [token for token in _TOKENS.split(pattern) if token]
    seen: set[str] = set()

    def translate(position: int) -> str:
        token = tokens[position]
        if token in _WILDCARDS:
            return _WILDCARDS[token]
        if token not in _PLACEHOLDERS:
            return re.escape(token)
        name = token[1:-1].lower()
        number = f"(?P={name})" if name in seen else f"(?P<{name}>[0-9]+)"
        seen.add(name)
        before = "(?<![0-9])" if position and tokens[position - 1] in _WILDCARDS else ""
        after = "(?![0-9])" if tokens[position + 1 : position + 2] and tokens[position + 1] in _WILDCARDS else ""
        return f"{before}{number}{after}"

    return re.compile("".join(map(translate, range(len(tokens)))))


def readings(pattern: str, path: str) -> set[Numbers]:
    """Every way to read a path: one where it is clear which digits are the span's and the version's, more where it is not.

    Args:
      pattern: the pattern.
      path: a path that `regular_expression(pattern)` matches.
    """
    found: set[Numbers] = {(None, None)}
    for part, name in zip(pattern.split("/"), path.split("/"), strict=True):
        if any(placeholder in part for placeholder in _PLACEHOLDERS):
            tokens = tuple(token for token in _TOKENS.split(part) if token)
            found = {numbers for before in found for numbers in _readings(tokens, name, before)}
    return found


def date_in(pattern: str, path: str) -> str | None:
    """What a number of the path seems to be a part of: a date such as 2024-01-31; None where nothing hints at one.

    Args:
      pattern: the pattern, in which a wildcard beside a placeholder has taken the rest of the date.
      path: a path that `regular_expression(pattern)` matches.
    """
    match = regular_expression(pattern).fullmatch(path)
    for name, placeholder in (("span", "{SPAN}"), ("version", "{VERSION}")):
        if match is None or placeholder not in pattern:
            continue
        start, end = match.span(name)
        before = re.search(r"([0-9]+[-_.])+$", path[:start]) if re.search(rf"[*?]{re.escape(placeholder)}", pattern) else None
        after = re.match(r"([-_.][0-9]+)+", path[end:]) if re.search(rf"{re.escape(placeholder)}[*?]", pattern) else None
        if before or after:
            return f"{before[0] if before else ''}{match[name]}{after[0] if after else ''}"
    return None


def dated(pattern: str) -> re.Pattern[str]:
    """An expression for paths that have a date such as 2024-01-31 in the place of a number."""
    parts = {**_WILDCARDS, **dict.fromkeys(_PLACEHOLDERS, "[0-9]+(?:[-_.][0-9]+)+")}
    return re.compile("".join(parts.get(token) or re.escape(token) for token in _TOKENS.split(pattern)))


def folder(pattern: str) -> str:
    """The innermost folder that all paths are in; empty for paths in the working directory."""
    return os.path.dirname(_TOKENS.split(pattern)[0])


def _readings(tokens: tuple[str, ...], name: str, before: Numbers) -> set[Numbers]:
    """The ways to read one name of a path, given the numbers that the names before it have."""
    found: set[Numbers] = set()
    waiting = [(0, 0, before)]
    visited = set(waiting)
    while waiting:
        position, start, numbers = waiting.pop()
        if position == len(tokens):
            if start == len(name):
                found.add(numbers)
            continue
        for step in _steps(tokens, position, name, start, numbers):
            if step not in visited:
                visited.add(step)
                waiting.append(step)
    return found


def _steps(tokens: tuple[str, ...], position: int, name: str, start: int, numbers: Numbers) -> list[tuple[int, int, Numbers]]:
    """The states after one more token: the next token, where its text begins, and the numbers so far."""
    token, behind = tokens[position], position + 1
    if token == "*":
        return [(behind, end, numbers) for end in range(start, len(name) + 1)]
    if token == "?":
        return [(behind, start + 1, numbers)] if start < len(name) else []
    if token not in _PLACEHOLDERS:
        return [(behind, start + len(token), numbers)] if name.startswith(token, start) else []
    if position and tokens[position - 1] in _WILDCARDS and start and name[start - 1] in "0123456789":
        return []
    span, version = numbers
    length = len(name[start:]) - len(name[start:].lstrip("0123456789"))
    whole = behind < len(tokens) and tokens[behind] in _WILDCARDS
    steps: list[tuple[int, int, Numbers]] = []
    for end in range(start + length if whole else start + 1, start + length + 1):
        digits = name[start:end]
        if digits and (span if token == "{SPAN}" else version) in (None, digits):
            steps.append((behind, end, (digits, version) if token == "{SPAN}" else (span, digits)))
    return steps
