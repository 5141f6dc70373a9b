"""What changes the fingerprint of a run, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.infra_validator.docker import engine_answers
from pipeline.config.loading import load_config
from pipeline.local.fingerprint import CODE, fingerprint
from pipeline.util import code

CONFIG = """
name: houses
label: price
data: {input: "data/*.csv"}
schema: {path: schema.pbtxt}
preprocessing: {preprocessing_fn: "mine.py:preprocessing_fn"}
model: {build_model: "network.py:build_model"}
infra_validator: {runner: auto}
"""


class Project:
    """A configuration with the files that it names, and a package that stands for the pipeline's own code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("schema.pbtxt", "mine.py", "network.py", "code.py"):
            (folder / name).write_text("1")
        (folder / "pipeline.yaml").write_text(CONFIG)

    def fingerprint(self, *overrides: str) -> str:
        return fingerprint(load_config(self.folder / "pipeline.yaml", overrides))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(code, "digest", lambda *modules: (tmp_path / "code.py").read_text())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    engine_answers.cache_clear()
    return Project(tmp_path)


def test_it_stays_where_nothing_has_changed(project: Project) -> None:
    before = project.fingerprint()
    assert before.startswith("sha256:")
    for name in ("schema.pbtxt", "mine.py", "code.py", "pipeline.yaml"):
        os.utime(project.folder / name, (1, 1))
    with (project.folder / "pipeline.yaml").open("a") as config:
        config.write("# a remark, and a default that is spelled out\ntask: binary_classification\n")
    assert project.fingerprint() == before


@pytest.mark.parametrize("name", ["schema.pbtxt", "mine.py", "network.py", "code.py"])
def test_another_content_of_a_file_changes_it(project: Project, name: str) -> None:
    before = project.fingerprint()
    (project.folder / name).write_text("2")
    assert project.fingerprint() != before


@pytest.mark.parametrize("override", ["training.epochs=3", "name=flats", "workspace=elsewhere", "evaluation.min_slice_rows=7"])
def test_another_setting_changes_it(project: Project, override: str) -> None:
    assert project.fingerprint(override) != project.fingerprint()


def test_another_working_directory_changes_it_as_it_changes_the_workspace(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.fingerprint()
    monkeypatch.chdir(project.folder)
    assert project.fingerprint() != before


def test_another_version_of_a_package_changes_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    site = project.folder / "site"
    (site / "tensorflow-2.21.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    before = project.fingerprint()
    (site / "tensorflow-2.21.0.dist-info").rename(site / "tensorflow-2.22.0.dist-info")
    assert project.fingerprint() != before


def test_an_engine_that_would_serve_the_candidate_changes_it(project: Project) -> None:
    before = project.fingerprint()
    docker = project.folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 0\n")
    docker.chmod(0o755)
    engine_answers.cache_clear()
    assert project.fingerprint() != before


@pytest.mark.parametrize("name", ["schema.pbtxt", "mine.py"])
def test_there_is_none_where_a_file_cannot_be_read(project: Project, name: str) -> None:
    (project.folder / name).unlink()
    assert project.fingerprint() == ""


def test_there_is_none_where_the_configuration_cannot_be_followed(project: Project) -> None:
    assert project.fingerprint("infra_validator.runner=docker") == ""


def test_it_covers_the_code_of_the_pipeline_and_its_components() -> None:
    modules = set(code.closure(*CODE))
    assert {"pipeline.graph", "pipeline.runs.execute", "pipeline.training.trainer", "components.transform.component"} <= modules
    assert not [name for name in modules if ".test_" in name]
