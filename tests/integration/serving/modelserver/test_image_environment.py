"""The model server as compose.embedded.yaml starts it: with the packages of the task image, where the code is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from pipeline.util import checkout
from tests.integration.serving.modelserver.running import program

# Python reads it when it starts: what the image does not have cannot be imported, and is not installed.
SITE = """
import sys
from importlib import metadata

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def from_name(name):
    if name.lower().replace("_", "-") not in LOCKED:
        raise metadata.PackageNotFoundError(name)
    return found(name)

HIDDEN, LOCKED = {hidden!r}, {locked!r}
found, metadata.Distribution.from_name = metadata.Distribution.from_name, from_name
sys.meta_path.insert(0, Missing())
"""
OURS = {"components", "conveyor", "pipeline", "serving"}


NODES = "components.evaluator.executor, components.infra_validator.executor, components.transform.executor, pipeline.graph, \
pipeline.kubeflow.pod.entrypoint, pipeline.kubeflow.pod.finish, pipeline.runs.execute, pipeline.training.trainer, \
pipeline.training.tuner"


@pytest.fixture
def image_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes new processes find only the packages that the image has."""
    lock = (checkout.ROOT / "requirements-image.lock").read_text()
    locked = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    modules = metadata.packages_distributions()
    hidden = {name for name, owners in modules.items() if not locked & {canonicalize_name(owner) for owner in owners}} - OURS
    assert {"kfp", "pytest", "tensorflow_estimator"} <= hidden
    (tmp_path / "sitecustomize.py").write_text(SITE.format(hidden=hidden, locked=locked))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{checkout.ROOT}")


@pytest.mark.usefixtures("image_environment")
def test_it_starts_and_answers(folder: Path, tmp_path: Path) -> None:
    with program("--model_name=half", f"--model_base_path={folder / 'half'}", log=tmp_path / "log") as (server, _):
        assert server.half_plus(0.0) == (3.0, 2)
        assert server.get("half/metadata").status_code == 200


@pytest.mark.usefixtures("image_environment")
def test_nodes_find_what_they_import() -> None:
    done = subprocess.run([sys.executable, "-c", f"import {NODES}"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
