"""The wheel holds all that a pipeline needs: nothing of the checkout is there when it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.integration.conftest import REPOSITORY

SOURCES = ("pipeline", "components", "serving", "conveyor", "setup.py", "pyproject.toml", "README.md", "LICENSE")
WHERE = "import conveyor, components, pipeline, serving as s; print(*(m.__file__ for m in (conveyor, components, pipeline, s)))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built of a copy: setuptools leaves its work beside what it builds."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(copy / "dist"), str(copy))
    [built] = (copy / "dist").glob("*.whl")
    return built


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_table_becomes_a_pushed_model_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    pip("install", "--no-deps", "--target", str(site), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    project.mkdir()
    random = np.random.default_rng(0)
    size = random.normal(100, 20, 300)
    table = pd.DataFrame({"size": size, "town": random.choice(["a", "b"], 300), "price": 3 * size + random.normal(0, 5, 300)})
    table.to_csv(project / "houses.csv", index=False)

    for path in map(Path, run(sys.executable, "-c", WHERE).split()):
        assert site in path.parents
    conveyor = str(site / "bin" / "conveyor")
    run(conveyor, "init", "houses.csv", "--label", "price", "--set", "model.kind=linear")
    assert "Blessed and pushed as version 1" in run(conveyor, "run", "--set", "infra_validator.requests=5")
    assert "report.html" in run(conveyor, "report")


def test_no_tests_are_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert "components/evaluator/executor.py" in names
    assert "pipeline/report/html/templates/page.html.j2" in names
    assert [name for name in names if Path(name).name.startswith(("test_", "conftest"))] == []
