"""`conveyor compile`: the forms in which a package is written. A package that was compiled before stands for compiling."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import main
from pipeline.util import checkout
from tests.fakes.machine import Machine

GOLDEN = checkout.ROOT / "tests" / "unit" / "kubeflow" / "golden" / "flights.yaml"
CONFIG = """
name: flights
label: late
data: {input: "{workspace}/data/flights/*.parquet"}
kubeflow: {namespace: team, image: registry/conveyor:2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a configuration."""
    package = GOLDEN.read_text()
    monkeypatch.setattr("pipeline.kubeflow.compile.compile_package", lambda config: package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    return tmp_path


def compiled(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["compile", *arguments])
    return int(ended.value.code or 0)


def test_a_package(folder: Path) -> None:
    assert compiled() == 0

    assert (folder / "flights.yaml").read_text() == GOLDEN.read_text()


def test_objects_of_kubernetes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled("--kubernetes", "--output", "objects.yaml") == 0

    pipeline, version = yaml.safe_load_all((folder / "objects.yaml").read_text())
    assert (pipeline["kind"], version["kind"], version["metadata"]["namespace"]) == ("Pipeline", "PipelineVersion", "team")
    assert "kubectl apply --server-side -f objects.yaml" in capsys.readouterr().err


def test_a_folder_is_made_and_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(folder, monkeypatch)
    machine.has_real_cluster()
    for _ in range(2):
        assert compiled("--manifests", "clusters/team") == 0

    written = folder / "clusters" / "team"
    names = {"README.md", "conveyor.yaml", "gateway.yaml", "kustomization.yaml", "pipeline.yaml", "serving.yaml"}
    assert {path.name for path in written.iterdir()} == names


def test_the_objects_of_a_loop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled("--loop", "loop.yaml") == 0

    objects = list(yaml.safe_load_all((folder / "loop.yaml").read_text()))
    assert {one["kind"] for one in objects} == {
        "ConfigMap",
        "CronJob",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    }
    assert objects[0]["data"]["package.yaml"] == GOLDEN.read_text()
    assert "apply --server-side -f loop.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--manifests", "a", "--kubernetes"),
        ("--manifests", "a", "-o", "b.yaml"),
        ("--manifests", "pipeline.yaml"),
        ("--loop", "a.yaml", "--kubernetes"),
        ("--loop", "a.txt"),
    ],
)
def test_what_does_not_go_together(folder: Path, arguments: tuple[str, ...]) -> None:
    assert compiled(*arguments) == 2

    assert {path.name for path in folder.iterdir()} == {"pipeline.yaml"}
