"""The digest of code follows import statements as Python reads them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.training.settings import PREPROCESSING_FN, RUN_FN, TUNER_FN
from pipeline.util import checkout, code

TRAINER = "pipeline.training.trainer"


def imported_for_good(tree: ast.AST) -> Iterator[str]:
    """The names in the import statements of a module, but for those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))
        else:
            yield from imported_for_good(node)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of a trainer that imports a helper in a function, and of a module that it knows nothing of."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    folder = tmp_path / "pipeline" / "training"
    folder.mkdir(parents=True)
    for package in (tmp_path / "pipeline", folder):
        (package / "__init__.py").write_text("")
    (folder / "trainer.py").write_text("def run_fn():\n    from pipeline.training import helper\n")
    (folder / "helper.py").write_text("a = 1\n")
    (folder / "other.py").write_text("a = 1\n")
    return tmp_path


def test_functions_that_nodes_are_given_by_name_are_in_the_code_of_nodes() -> None:
    assert {function.rpartition(".")[0] for function in (PREPROCESSING_FN, RUN_FN, TUNER_FN)} <= set(code.NODES)


def test_a_module_that_is_not_there_has_no_digest() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pipeline\.trainer"):
        code.digest("pipeline.graph", "pipeline.trainer")


def test_import_statements_are_read_as_python_reads_them() -> None:
    paths = [path for package in code.PACKAGES for path in (checkout.ROOT / package).rglob("*.py")]
    for path in paths:
        source = path.read_text()
        expected = {name for name in imported_for_good(ast.parse(source)) if name.partition(".")[0] in code.PACKAGES}
        read = {name for name in code._imports(source) if name.partition(".")[0] in code.PACKAGES}
        assert read == expected, path


def test_a_new_helper_changes_the_digest(project: Path) -> None:
    before = code.digest(TRAINER)
    trainer = project / "pipeline" / "training" / "trainer.py"
    (project / "pipeline" / "training" / "losses.py").write_text("b = 1\n")
    assert code.digest(TRAINER) == before
    trainer.write_text(trainer.read_text() + "    from pipeline.training.losses import b\n")
    with_helper = code.digest(TRAINER)
    assert with_helper != before
    (project / "pipeline" / "training" / "losses.py").write_text("b = 2\n")
    assert code.digest(TRAINER) not in (before, with_helper)


@pytest.mark.parametrize(("name", "changes"), [("helper.py", True), ("other.py", False), ("__init__.py", True)])
def test_what_is_imported_counts_and_nothing_else(project: Path, name: str, changes: bool) -> None:
    before = code.digest(TRAINER)
    (project / "pipeline" / "training" / name).write_text("a = 2\n")
    assert (code.digest(TRAINER) != before) is changes


def test_imports_for_type_checkers_do_not_count(project: Path) -> None:
    trainer = project / "pipeline" / "training" / "trainer.py"
    trainer.write_text(
        "if TYPE_CHECKING:\n    from pipeline.training import other\n\nfrom pipeline.training import (\n    helper,\n)\n"
    )
    assert "pipeline.training.other" not in code.closure(TRAINER)
    assert "pipeline.training.helper" in code.closure(TRAINER)


def test_it_is_the_same_in_another_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = code.digest(TRAINER)
    elsewhere = project.rename(tmp_path_factory.mktemp("elsewhere") / "project")
    monkeypatch.setattr(checkout, "ROOT", elsewhere)
    assert code.digest(TRAINER) == before
