"""JSON documents that end with a checksum: one with a flipped bit may be right JSON all the same, and is not believed."""

from __future__ import annotations

import re

import google_crc32c

FIELD = "checksum"
"""The last field of a sealed document: the CRC-32C of all text before it, eight hexadecimal digits."""

_SEAL = re.compile(rb',\s*"' + FIELD.encode() + rb'": "([0-9a-f]{8})"\s*\}\s*\Z')


class BrokenSealError(ValueError):
    """A document is not what was sealed."""


def seal(document: str) -> str:
    """A document with its checksum.

    Args:
      document: a JSON object with at least one field, on one line or several.
    """
    body = document.rstrip().removesuffix("}").rstrip()
    before, after = ("\n  ", "\n") if "\n" in body else (" ", "")
    return f'{body},{before}"{FIELD}": "{_checksum(body.encode())}"{after}}}'


def unseal(document: bytes) -> bytes:
    """A document without its checksum; one that has none, as those of earlier releases, is returned as it is.

    Raises:
      BrokenSealError: the checksum is another one.
    """
    found = _SEAL.search(document)
    if found is None:
        return document
    body = document[: found.start()]
    if (seen := _checksum(body)) != found[1].decode():
        raise BrokenSealError(f"the checksum of the content is {seen}, not {found[1].decode()} as the file says")
    return body + b"}"


def _checksum(content: bytes) -> str:
    return f"{google_crc32c.value(content):08x}"
