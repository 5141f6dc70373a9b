"""What the code imports is declared in pyproject.toml, not only brought along by something else."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from pipeline.util.checkout import ROOT

# pydantic demands one version of it, and has its types there.
BROUGHT_ALONG = {"pydantic_core"}
# Imported in tests because they are not there.
NOWHERE = {"no_such_package", "tiny_pipeline"}


def normalised(name: str) -> str:
    return name.lower().replace("_", "-")


def declared(part: str) -> set[str]:
    """The names of the distributions in the lists of a part of pyproject.toml."""
    return {normalised(name) for name in re.findall(r'^    "(\w[\w.-]*)[^"]*",', part, re.MULTILINE)}


def imported(path: str) -> list[str]:
    pattern = r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?: as \w+)?(?:  #.*)?$)"
    return [first or second for first, second in re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)]


@pytest.mark.parametrize("for_tests", [False, True])
def test_imports_are_of_declared_dependencies(for_tests: bool) -> None:
    project = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[0]
    known = declared(project if for_tests else project.partition("\ndev = [")[0] + project.partition("\ntraces = [")[2])
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    shipped = re.compile(r"(conveyor|pipeline|components|serving)/(?!(.*/)?(test_\w+|conftest)\.py$)")
    names = {name for path in listed if for_tests or shipped.match(path) for name in imported(path)}
    names = {name for name in names - sys.stdlib_module_names - NOWHERE - BROUGHT_ALONG if not (ROOT / name).exists()}
    distributions = packages_distributions()
    assert len(names) > 30
    assert [name for name in names if not {normalised(each) for each in distributions.get(name, [])} & known] == []
