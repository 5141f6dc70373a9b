"""Gives the task image the version of pyproject.toml as its tag, wherever a file of the repository names it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The changelog says what was.
KEPT = "CHANGELOG.md"


def tagged(text: str, version: str) -> str:
    """The text with the image's tags replaced; what follows the number in one, as in `-gpu`, stays.

    Args:
      text: the content of a file.
      version: the version, such as `0.2.0`.
    """
    return re.sub(r"\bconveyor:\d+\.\d+\.\d+", f"conveyor:{version}", text)


def texts() -> dict[Path, str]:
    """The content of each text file that git knows, by its path."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {}
    for name in listed.split("\0"):
        path = ROOT / name
        if name != KEPT and path.is_file():
            try:
                found[path] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


def declared() -> str:
    """The version that pyproject.toml declares."""
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(version)


if __name__ == "__main__":
    for path, text in texts().items():
        if (new := tagged(text, declared())) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))
