"""What tells one model from another with its number: the digest in its description, here and on the volume."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.errors import ConveyorError, StorageError
from pipeline.util.kubectl import Kubectl
from serving.rollout.model_folder import ModelFolder, ShellFolder, Versions
from tests.fakes.serving_cluster import FakeCluster


@pytest.fixture
def description(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "flights" / "3" / DESCRIPTION_PATH
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture(params=["here", "volume"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, description: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    if request.param == "here":
        return ModelFolder(tmp_path / "models" / "flights")
    FakeCluster(tmp_path / "cluster", tmp_path / "models", monkeypatch)
    return ShellFolder(Kubectl("kind-conveyor", "kubeflow", Console(quiet=True)), "/conveyor/models/flights")


def test_it_is_that_of_the_description(folder: Versions, description: Path) -> None:
    description.write_text(ModelDescription(digest="abc").to_json())
    assert folder.digest(3) == "abc"


def test_a_version_without_one_or_that_is_not_there_has_none(folder: Versions, description: Path) -> None:
    assert (folder.digest(3), folder.digest(4)) == ("", "")
    description.write_text('{"label": "late"}')
    assert folder.digest(3) == ""


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"7", b'{"digest": null}', b"\xff\xfe"])
def test_a_damaged_description_is_told(folder: Versions, description: Path, content: bytes) -> None:
    description.write_bytes(content)
    with pytest.raises(StorageError, match="damaged") as caught:
        folder.digest(3)
    assert caught.value.where.endswith(f"/flights/3/{DESCRIPTION_PATH}")
    assert "conveyor run" in caught.value.fix


def test_what_cannot_be_read_is_not_taken_for_a_model_without_one(folder: Versions, description: Path) -> None:
    description.mkdir()
    with pytest.raises(ConveyorError):
        folder.digest(3)


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path, description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCluster(tmp_path / "cluster", tmp_path / "models", monkeypatch)
    program = tmp_path / "cluster" / "bin" / "kubectl"
    program.write_text("#!/bin/sh\necho 'Unable to connect to the server: dial tcp: i/o timeout' >&2\nexit 1\n")
    shell = ShellFolder(Kubectl("kind-conveyor", "kubeflow", Console(quiet=True)), "/conveyor/models/flights")
    with pytest.raises(ConveyorError, match="kubectl"):
        shell.digest(3)


def test_what_could_not_be_deleted_goes_with_the_next_ones(folder: Versions, description: Path) -> None:
    models = description.parents[2]
    # Of the same number, which another model has got since.
    (models / ".pruned-3" / "variables").mkdir(parents=True)
    (models / ".pruned-1").mkdir()
    folder.delete([3])
    assert list(models.iterdir()) == []


def test_an_error_names_what_is_left(description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = description.parents[2]

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path / "variables"))

    with monkeypatch.context() as patch:
        patch.setattr("serving.rollout.model_folder.shutil.rmtree", denied)
        with pytest.raises(StorageError, match="cannot be deleted") as caught:
            ModelFolder(models).delete([3])
    assert caught.value.where == str(models / ".pruned-3" / "variables")
    ModelFolder(models).delete([])
    assert list(models.iterdir()) == []
