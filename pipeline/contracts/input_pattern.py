"""The pattern of the input's paths: `*` and `?` as in a shell, and {SPAN} and {VERSION} for numbers."""

from __future__ import annotations

import glob
import os
import re

_TOKENS = re.compile(r"(\{SPAN\}|\{VERSION\}|\*|\?)")
_WILDCARDS = {"*": "[^/]*", "?": "[^/]"}


def glob_pattern(pattern: str) -> str:
    """The pattern for Python's `glob`, which matches anything in the place of a number."""
    parts = {"*": "*", "?": "?", "{SPAN}": "*", "{VERSION}": "*"}
    return "".join(parts.get(token) or glob.escape(token) for token in _TOKENS.split(pattern))


def regular_expression(pattern: str) -> re.Pattern[str]:
    """An expression for whole paths, with the groups `span` and `version`. A number named twice is the same in both places."""
    seen: set[str] = set()

    def translate(token: str) -> str:
        if token in _WILDCARDS:
            return _WILDCARDS[token]
        if token not in ("{SPAN}", "{VERSION}"):
            return re.escape(token)
        name = token[1:-1].lower()
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>\d+)"

    return re.compile("".join(map(translate, _TOKENS.split(pattern))))


def folder(pattern: str) -> str:
    """The innermost folder that all paths are in; empty for paths in the working directory."""
    return os.path.dirname(_TOKENS.split(pattern)[0])
