"""Paths as people write them, with `~` for a home folder, and addresses such as s3://bucket/folder, which are not paths."""

from __future__ import annotations

import os
import re

from pipeline.errors import UsageError

# One slash, too: pathlib makes it of two. A single letter would be a drive of Windows.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)", re.DOTALL)
_OBJECT = re.compile(r"(s3|gs)://[^/*?{}]+/[^/].*", re.DOTALL)


def is_object(text: str) -> bool:
    """Whether a text is the address of objects in a store that inputs are read from: s3://BUCKET/KEY or gs://BUCKET/KEY."""
    return _OBJECT.fullmatch(text) is not None


def require_path(text: str, where: str = "") -> None:
    """Checks that a text is a path and not an address with a scheme, which would become a folder named `s3:`.

    Args:
      text: what was written.
      where: the field or the option that it was written for.

    Raises:
      UsageError: it begins with a scheme such as s3:// or file://.
    """
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return
    if address["scheme"].lower() == "file":
        fix = f"Write the path alone: /{address['rest'].removeprefix('localhost/').lstrip('/')}"
    else:
        fix = f"Mount the storage, and name a folder below the mount point: /mnt/{address['rest']}"
    raise UsageError(
        f"An address with a scheme is not a path: {address['scheme']}://",
        where=where,
        expected="a path on a local or mounted file system",
        seen=text,
        fix=fix,
    )


def expand_home(path: str) -> str:
    """A path with the home folder in place of a leading `~` or `~user`.

    Raises:
      UsageError: this machine has no such user.
    """
    expanded = os.path.expanduser(path)
    user = path.partition("/")[0]
    if path.startswith("~") and expanded == path:
        raise UsageError(
            f"This machine has no user {user[1:]!r}.",
            expected="~ for your own home folder, or ~ and the name of a user",
            seen=path,
            fix=f"Write the folder's whole path, or ./{path} for a folder that is called {user}.",
        )
    return expanded
