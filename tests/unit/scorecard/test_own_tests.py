"""Tests as proofs: there, gone, passed, failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.scorecard import own_tests
from pipeline.scorecard.card import Evidence
from pipeline.scorecard.rubric import RubricTest, Section

PROOFS = ("tests/test_it.py::test_good", "tests/test_it.py::test_each")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a file of tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "@pytest.mark.skip\n"
        "def test_skipped(): pass\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_each(n): pass\n"
        "@pytest.mark.parametrize('n', [1, 2, 3])\n"
        "def test_but_one(n): assert n != 2\n"
    )
    own_tests._functions.cache_clear()
    return tmp_path


def of(*proofs: str, most: float = 1.0) -> RubricTest:
    return RubricTest(id="schema", section=Section.DATA, test="A schema", proofs=proofs, most=most, next="Curate it.")


def test_being_there_counts_where_nothing_is_run(root: Path):
    assert own_tests.evidence([of(*PROOFS)], root)["schema"].points == 1
    assert own_tests.evidence([of(*PROOFS, most=0.5)], root)["schema"].points == 0.5
    assert own_tests.evidence([of()], root)["schema"] == Evidence(0.0, "")


@pytest.mark.parametrize("gone", ["tests/test_it.py::test_gone", "tests/test_gone.py::test_good"])
def test_a_proof_that_was_removed_takes_the_point_with_it(root: Path, gone: str):
    assert own_tests.evidence([of(PROOFS[0], gone)], root)["schema"] == Evidence(0.0, f"{gone} is gone")


def test_what_is_run_counts_if_it_passes_with_all_its_parameters(root: Path):
    names = ("good", "bad", "skipped", "each", "but_one", "gone")
    passed = own_tests.run([f"tests/test_it.py::test_{name}" for name in names], root)

    assert [name for name in names if passed[f"tests/test_it.py::test_{name}"]] == ["good", "each"]
    assert own_tests.evidence([of(*PROOFS)], root, passed)["schema"].points == 1
    bad = "tests/test_it.py::test_bad"
    assert own_tests.evidence([of(*PROOFS, bad)], root, passed)["schema"] == Evidence(0.0, f"{bad} does not pass")
