"""Prints what CHANGELOG.md says of the version that a tag names, which must be that of pyproject.toml."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def notes(tag: str, changelog: str, pyproject: str) -> str:
    """The section of a version.

    Args:
      tag: the tag, such as `v0.2.0`.
      changelog: the content of CHANGELOG.md.
      pyproject: the content of pyproject.toml.

    Raises:
      SystemExit: the tag is not the version of the project, or the changelog has nothing to say of it.
    """
    declared = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    version = declared[1] if declared else ""
    if tag != f"v{version}":
        sys.exit(f"The tag is {tag}, and pyproject.toml says {version}: set the version there, and tag that commit.")
    section = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        sys.exit(f"CHANGELOG.md has no section [{version}]: rename [Unreleased], and begin a new one above it.")
    return section[1].strip()


if __name__ == "__main__":
    print(notes(sys.argv[1], (ROOT / "CHANGELOG.md").read_text(), (ROOT / "pyproject.toml").read_text()))
