"""Conveyor's own tests as proofs: whether they are there, and whether they pass."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from pipeline.scorecard.card import Evidence
from pipeline.scorecard.rubric import RubricTest
from pipeline.util.programs import ProgramError

_TAIL_LINES = 15


def evidence(tests: Iterable[RubricTest], root: Path, passed: Mapping[str, bool] | None = None) -> dict[str, Evidence]:
    """What Conveyor's own tests prove for every pipeline.

    Args:
      tests: the tests of the rubric.
      root: the checkout.
      passed: whether each proof has passed, as `run` says; None where they have not been run, and being there counts.
    """
    return {test.id: _evidence(test, root, passed) for test in tests}


def run(proofs: Sequence[str], root: Path) -> dict[str, bool]:
    """Runs proofs.

    Args:
      proofs: tests as pytest names them.
      root: the checkout.

    Returns:
      For each, whether it passed, with all its parameters; False for one that is gone or was skipped.

    Raises:
      ProgramError: pytest could not run them.
    """
    there = [proof for proof in dict.fromkeys(proofs) if exists(proof, root)]
    with tempfile.TemporaryDirectory(prefix="conveyor-score-card-") as folder:
        results = Path(folder, "results.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", "-o", "junit_family=xunit1"]
        done = subprocess.run([*command, f"--junitxml={results}", *there], cwd=root, capture_output=True, text=True)
        if not results.is_file():
            raise ProgramError(
                "pytest could not run the proofs.",
                where=str(root),
                seen="\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:]),
                fix="Set up the checkout: make setup",
            )
        failed: dict[str, bool] = {}
        for case in ElementTree.parse(results).iter("testcase"):
            name = f"{case.get('file')}::{str(case.get('name')).partition('[')[0]}"
            bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            failed[name] = failed.get(name, False) or bad
    return {proof: proof in there and not failed.get(proof, True) for proof in proofs}


def exists(proof: str, root: Path) -> bool:
    """Whether a test is there, by its file and the name of its function."""
    file, _, name = proof.partition("::")
    return name in _functions(root / file)


@cache
def _functions(file: Path) -> frozenset[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except OSError:
        return frozenset()
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _evidence(test: RubricTest, root: Path, passed: Mapping[str, bool] | None) -> Evidence:
    if not test.proofs:
        return Evidence(0.0, "")
    missing = [proof for proof in test.proofs if not exists(proof, root)]
    failed = [proof for proof in test.proofs if passed is not None and not passed.get(proof, False)]
    if missing or failed:
        return Evidence(0.0, f"{missing[0]} is gone" if missing else f"{failed[0]} does not pass")
    number = "1 test" if len(test.proofs) == 1 else f"{len(test.proofs)} tests"
    return Evidence(test.most, f"{number} of Conveyor, {'there' if passed is None else 'passed'}: {test.proofs[0]}")
