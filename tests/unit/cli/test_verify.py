"""`conveyor verify`: what is stored is what was made, or the files that are not are named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.cli import main
from pipeline.runs import verification
from tests.fakes.workspace import Workspace


@pytest.fixture
def two_runs(workspace: Workspace) -> Workspace:
    """A workspace with two runs whose artifacts have manifests; each has pushed its model."""
    for number in ("1", "2"):
        workspace.run(f"run-{number}", f"-{number}", version=number, baseline="model-1" if number == "2" else "")
        model, pushed = (workspace.folder(*place) for place in (("Trainer", "model", f"model-{number}"), pushed_of(number)))
        shutil.copytree(model, pushed)
        shutil.copytree(model, workspace.config.serving_path / number)
    artifacts = workspace.store.get_artifacts()
    for artifact in artifacts:
        verification.record(artifact)
    workspace.store.put_artifacts(artifacts)
    return workspace


def pushed_of(number: str) -> tuple[str, str, str]:
    return "Pusher", "pushed_model", f"pushed-{number}"


def verify(workspace: Workspace, *arguments: str, exit_code: int = 0) -> None:
    path = workspace.config.workspace_path.parent / "pipeline.yaml"
    path.write_text(yaml.safe_dump(workspace.config.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    with pytest.raises(SystemExit) as ended:
        main.main(["verify", *arguments, "--config", str(path)])
    assert (ended.value.code or 0) == exit_code


def test_all_is_as_it_was_made(two_runs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    verify(two_runs)
    assert "18 artifacts" in capsys.readouterr().out


@pytest.mark.parametrize("of", ["", "run-1", "1"])
def test_a_damaged_file_is_named(two_runs: Workspace, of: str, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = two_runs.folder("Trainer", "model", "model-1") / "Format-Serving" / "saved_model.pb"
    os.truncate(damaged, 1000)

    verify(two_runs, *filter(None, [of]), "--json", exit_code=1)

    captured = capsys.readouterr()
    found = json.loads(captured.out)
    (flaw,) = found["flaws"]
    assert (flaw["node"], flaw["path"]) == ("Trainer", str(damaged))
    assert "2,000 bytes" in flaw["expected"]
    assert flaw["seen"] == "1,000 bytes"
    assert "One file is not what was made." in captured.err


def test_what_has_no_part_in_a_run_is_not_looked_at(two_runs: Workspace) -> None:
    os.truncate(two_runs.folder("Trainer", "model", "model-1") / "Format-Serving" / "saved_model.pb", 1000)
    verify(two_runs, "run-2")
    verify(two_runs, "2")


def test_a_version_is_what_was_pushed(two_runs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    version = two_runs.config.serving_path / "2"
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "warmup").write_text("of the user's own")
    verify(two_runs, "2")
    shutil.rmtree(two_runs.config.serving_path / "1")  # an old version may go
    verify(two_runs, "1")

    damaged = version / "Format-Serving" / "saved_model.pb"
    damaged.write_bytes(b"\1" + damaged.read_bytes()[1:])
    verify(two_runs, "2", exit_code=1)
    assert str(damaged) in capsys.readouterr().err


def test_what_an_earlier_release_made_is_counted(two_runs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = two_runs.store.get_artifacts_by_type("Model")[0]
    del artifact.custom_properties[verification.MANIFEST]
    two_runs.store.put_artifacts([artifact])
    verify(two_runs)
    assert "1 of them" in capsys.readouterr().out


def test_what_is_not_used_any_more_is_left_out(two_runs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = two_runs.store.get_artifacts_by_type("Model")[0]
    artifact.state = mlmd.Artifact.DELETED
    two_runs.store.put_artifacts([artifact])
    shutil.rmtree(Path(artifact.uri))
    verify(two_runs)
    assert "17 artifacts" in capsys.readouterr().out


def test_neither_a_run_nor_a_version_is_told(two_runs: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    verify(two_runs, "run-7", exit_code=2)
    assert "run-7" in capsys.readouterr().err
