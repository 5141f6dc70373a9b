"""The project's code as a digest: the one answer to whether two results were made by the same code.

It covers the modules that one imports, directly or not, at its top or within its functions; imports for type checkers alone do
not count. Modules are read and not imported: to import them takes seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pipeline.util import checkout

PACKAGES = ("pipeline", "components", "serving")
"""The project's packages."""

NODES = (
    "pipeline.graph",
    "pipeline.training.preprocessing",
    "pipeline.training.trainer",
    "pipeline.training.tuner",
    "components.infra_validator.probe",
)
"""The modules from which the code of all nodes follows. The graph imports the components with their executors; the others are
named by import path or run as a script."""

# Statements that import, and blocks that only type checkers read. Parsing the syntax would take a command half a second.
_STATEMENT = re.compile(
    r"""
    ^(?P<indent>[ ]*)
    (?: (?P<block>if[ ]TYPE_CHECKING:)
      | from[ ](?P<package>[\w.]+)[ ]import[ ](?P<names>\([^)]*\)|[^\n]*)
      | import[ ](?P<modules>[^\n]*) )
    """,
    re.MULTILINE | re.VERBOSE,
)


def digest(*modules: str) -> str:
    """A digest of modules and of what they import of this project. It is the same wherever the project is installed.

    Args:
      modules: dotted names.

    Returns:
      64 hexadecimal digits.

    Raises:
      ModuleNotFoundError: there is no such module.
    """
    code = hashlib.sha256()
    for module, path in sorted(closure(*modules).items()):
        content = path.read_bytes()
        code.update(f"{module}\0{len(content)}\0".encode())
        code.update(content)
    return code.hexdigest()


def closure(*modules: str) -> dict[str, Path]:
    """Modules, their packages, and all that these import of this project.

    Args:
      modules: dotted names.

    Returns:
      Files by dotted name.

    Raises:
      ModuleNotFoundError: there is no such module.
    """
    if missing := [module for module in modules if _path(module) is None]:
        raise ModuleNotFoundError(f"{', '.join(missing)} in {checkout.ROOT}")
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or (path := _path(module)) is None:
            continue
        found[module] = path
        waiting += [module.rpartition(".")[0], *_imports(path.read_text(encoding="utf-8"))]
    return found


def _path(module: str) -> Path | None:
    if module.partition(".")[0] not in PACKAGES:
        return None
    path = checkout.ROOT.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


@lru_cache(maxsize=1024)
def _imports(source: str) -> tuple[str, ...]:
    """The dotted names that a module may import: modules, and names in modules that may be modules themselves."""
    return tuple(_names(source))


def _names(source: str) -> Iterator[str]:
    end_of_block = 0
    for match in _STATEMENT.finditer(source):
        if match.start() < end_of_block:
            continue
        if match["block"]:
            dedented = re.compile(rf"^ {{0,{len(match['indent'])}}}\S", re.MULTILINE).search(source, match.end())
            end_of_block = dedented.start() if dedented else len(source)
            continue
        listed = re.sub(r"#.*", "", match["names"] or match["modules"]).strip("()\n ")
        names = [name.split()[0] for name in listed.split(",") if name.strip()]
        if match["package"]:
            yield match["package"]
            names = [f"{match['package']}.{name}" for name in names]
        yield from names
