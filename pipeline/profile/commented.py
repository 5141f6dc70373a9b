"""A configuration as YAML with comments."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_WIDTH = 110
# A longer key must be marked as one (YAML 1.2, 7.4.3).
_LONGEST_SIMPLE_KEY = 1000
# Sections whose fields have a line each; others stand on one line.
_BLOCKS = {(), ("data",), ("features",), ("training",), ("gateway",), ("gateway", "example")}


def to_yaml(fields: Mapping[str, Any], comments: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    """Writes a configuration.

    Args:
      fields: its sections and fields; of an empty section, only the comments are written.
      comments: lines to stand above a field, by the names that lead to it; () for the file as a whole. A line that begins with
        a space is for copying and stays one line.
    """
    lines = _comment(comments.get((), ()), "")
    for name, value in fields.items():
        if isinstance(value, Mapping) and (value or comments.get((name,))):
            lines.append("")
        lines += _field((name,), value, comments)
    return "\n".join(lines) + "\n"


def _field(location: tuple[str, ...], value: Any, comments: Mapping[tuple[str, ...], Sequence[str]]) -> list[str]:
    indent = "  " * (len(location) - 1)
    above = comments.get(location, ())
    if value == {}:
        return _comment(above, indent)
    if location not in _BLOCKS:
        return _comment(above, indent) + _lines(location[-1], value, indent)
    # What is said of all features stands among them.
    inside = location == ("features",)
    lines = [*_comment(() if inside else above, indent), f"{indent}{_flow(location[-1])}:"]
    lines += _comment(above if inside else (), indent + "  ")
    for name, inner in value.items():
        lines += _field((*location, name), inner, comments)
    return lines


def _lines(name: str, value: Any, indent: str) -> list[str]:
    key = _flow(name)
    if len(key) > _LONGEST_SIMPLE_KEY:
        return [f"{indent}? {key}", f"{indent}: {_flow(value)}"]
    return [f"{indent}{key}: {_flow(value)}"]


def _flow(value: Any) -> str:
    """A value on one line."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(lines: Sequence[str], indent: str) -> list[str]:
    plain = ("".join(letter if letter.isprintable() else " " for letter in line) for line in lines)
    return [f"{indent}# {part}" for line in plain for part in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    return [line] if line.startswith(" ") else textwrap.wrap(line, _WIDTH, break_on_hyphens=False, break_long_words=False)
