"""Names as YAML takes them, in the lines that a message tells a person to write."""

from __future__ import annotations

import re

# What YAML reads as something else than a string, as a number or in a flow mapping.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def in_yaml(name: str) -> str:
    """A name as it stands in YAML: as it is where that is plain, else in double quotes.

    Args:
      name: any text.
    """
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return '"' + "".join(map(_escaped, name)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
