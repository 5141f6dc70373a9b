"""Code that stands in texts, where no linter sees it, imports what there is: for pods and containers, and in pages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from pipeline.util.checkout import ROOT

IMPORT = re.compile(r"\bfrom ((?:pipeline|components|serving|conveyor|tests)[\w.]*) import ([\w, ]+)")
FOLDERS = {"tests/kind": "*.py", "tests/container": "*.py", "docs": "*.md", ".github": "**/*.yml"}


def imports(path: Path) -> list[tuple[str, str]]:
    """Module and name of everything that a file imports or says to import."""
    found = IMPORT.findall(path.read_text())
    return [(module, name.split()[0]) for module, names in found for name in names.split(",") if name.strip()]


FILES = [path for folder, pattern in FOLDERS.items() for path in sorted((ROOT / folder).glob(pattern)) if imports(path)]


def test_there_is_such_code() -> None:
    assert {path.parent.name for path in FILES} >= {"kind", "container", "docs"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_it_imports_is_there(path: Path) -> None:
    for module, name in imports(path):
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
