"""The import contracts of pyproject.toml refuse wrong imports: each is put into a copy of the packages, alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from importlinter.api import read_configuration

from pipeline.util import checkout

PACKAGES = ("conveyor", "pipeline", "components", "serving")
KNOWN_TO_ALL = {"config", "contracts", "errors", "util"}
"""The rooms of pipeline/ that components and serving may know."""

ROOMS = "The rooms of pipeline: each knows those below it, none beside it"
PODS = "Pods know nothing of what runs on the laptop"
REPORT = "A report is made of what was read, a page of both"
SERVING = "The rooms of serving"
APART = "Components and serving do not know each other"
SHARED_PIPELINE = "Of pipeline, components and serving know configuration, contracts, helpers and errors"
TRAINED = "Training, configuration and what both rest on know no components and no servers"
ALONE = "The model server stands alone"
TASK_IMAGE = "What pods run does not import what the task image is without"
COMPONENTS = "Components know nothing of each other but what is in shared"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages and the contracts; tests put back what they change."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(checkout.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout.ROOT / "pyproject.toml", folder)
    return folder


def broken_contracts(folder: Path) -> list[str]:
    """The names of the contracts that import-linter finds broken in a folder."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-logo"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    names = re.findall(r"^(.*) BROKEN\b", done.stdout, re.MULTILINE)
    assert done.returncode == bool(names), done.stdout + done.stderr
    return names


@contextmanager
def appended(path: Path, text: str) -> Iterator[None]:
    """Adds text to a module, or makes the module, as long as the block lasts."""
    before = path.read_text() if path.exists() else None
    path.write_text((before or "") + text)
    yield
    if before is None:
        path.unlink()
    else:
        path.write_text(before)


def test_the_packages_as_they_are_keep_every_contract(copy: Path) -> None:
    assert broken_contracts(copy) == []


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("pipeline/errors.py", "pipeline.runs", ROOMS),
        ("pipeline/util/files.py", "pipeline.config", ROOMS),
        ("pipeline/config/loading.py", "pipeline.runs", ROOMS),
        ("pipeline/runs/status.py", "pipeline.report", ROOMS),
        ("pipeline/runs/database.py", "pipeline.training", ROOMS),
        ("pipeline/local/runner.py", "pipeline.kubeflow", ROOMS),
        ("pipeline/kubeflow/pod/finish.py", "pipeline.local", ROOMS),
        ("pipeline/kubeflow/compile.py", "pipeline.cli.main", ROOMS),
        ("pipeline/kubeflow/pod/payload.py", "pipeline.kubeflow.client", PODS),
        ("pipeline/report/read/schema.py", "pipeline.report.html", REPORT),
        ("serving/client/address.py", "serving.modelserver", SERVING),
        ("serving/gateway/app.py", "serving.modelserver", SERVING),
        ("serving/protocol.py", "serving.client.client", SERVING),
        ("components/pusher/__init__.py", "serving.protocol", APART),
        ("serving/protocol.py", "components.shared", APART),
        ("components/pusher/__init__.py", "pipeline.runs", SHARED_PIPELINE),
        ("serving/gateway/app.py", "pipeline.cli", SHARED_PIPELINE),
        ("pipeline/training/trainer.py", "components.shared", TRAINED),
        ("pipeline/contracts/model.py", "serving.errors", TRAINED),
        ("serving/modelserver/__main__.py", "pipeline.config", ALONE),
        ("pipeline/kubeflow/pod/context.py", "kfp", TASK_IMAGE),
        ("components/evaluator/__init__.py", "components.transform", COMPONENTS),
        ("pipeline/new.py", "pipeline.errors", ROOMS),
        ("serving/new.py", "serving.errors", SERVING),
    ],
)
def test_a_wrong_import_is_refused(copy: Path, importer: str, imported: str, contract: str) -> None:
    assert importer.endswith("new.py") == (not (copy / importer).exists())
    with appended(copy / importer, f"\nimport {imported}\n"):
        assert contract in broken_contracts(copy)


def test_components_and_serving_are_kept_from_every_other_room_of_pipeline() -> None:
    contracts = read_configuration(str(checkout.ROOT / "pyproject.toml"))["contracts_options"]
    (forbidden,) = (contract["forbidden_modules"] for contract in contracts if contract["name"] == SHARED_PIPELINE)

    rooms = {path.stem for path in (checkout.ROOT / "pipeline").glob("[!_]*") if path.suffix == ".py" or path.is_dir()}
    assert set(forbidden) == {f"pipeline.{room}" for room in rooms - KNOWN_TO_ALL}
