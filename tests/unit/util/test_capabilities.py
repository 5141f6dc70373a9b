"""What the doctor finds on a machine, here one whose path holds the programs of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.util.capabilities import Capability, diagnose
from pipeline.util.programs import Prerequisite


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts a program of the given name and shell script on a path that holds nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def _add(name: str, script: str = "exit 0") -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return _add


def capability(name: str, workspace: Path = Path(".conveyor")) -> Capability:
    return next(one for one in diagnose(workspace).capabilities if one.name == name)


def missing(found: Capability) -> dict[str, str]:
    return {check.name: check.fix for check in found.prerequisites if not check.ok}


def test_this_environment_can_run_pipelines(tmp_path):
    diagnosis = diagnose(tmp_path)

    assert diagnosis.ready
    assert diagnosis.versions["tfx"] == "1.21.0"
    assert int(diagnosis.machine["cores"]) >= 1


def test_a_bare_machine_still_runs_pipelines_and_names_a_mend_for_all_else(programs, tmp_path):
    diagnosis = diagnose(tmp_path)

    assert diagnosis.ready
    assert diagnosis.machine["accelerators"] == "none"
    assert missing(capability("set-up")) == {"c++": "sudo apt-get install g++"}
    assert set(missing(capability("cluster"))) == {"docker", "git", "kind", "kubectl"}
    assert missing(capability("serving")) == {"tensorflow serving": "sudo apt-get install docker.io"}
    assert all(check.fix for one in diagnosis.capabilities for check in one.prerequisites if not check.ok)


def test_an_engine_that_answers_makes_containers_and_serving_possible(programs):
    programs("docker", "echo 20.10.24")

    assert capability("container").prerequisites == (Prerequisite("docker", True, "engine 20.10.24"),)
    assert capability("serving").ready


@pytest.mark.parametrize(
    ("complaint", "fix"),
    [
        ("Cannot connect to the Docker daemon.", "systemctl start docker"),
        ("permission denied on docker.sock", "usermod -aG docker"),
    ],
)
def test_an_engine_that_does_not_answer_says_why(programs, complaint, fix):
    programs("docker", f"echo '{complaint}' >&2; exit 1")

    (docker,) = capability("container").prerequisites

    assert docker.seen == complaint
    assert fix in docker.fix


def test_a_model_server_on_the_path_serves_without_docker(programs):
    program = programs("tensorflow_model_server")

    assert capability("serving").prerequisites[0].seen == str(program)


def test_accelerators_are_listed(programs, tmp_path):
    programs("nvidia-smi", "echo 'A, 1 MiB'; echo 'B, 2 MiB'")

    assert diagnose(tmp_path).machine["accelerators"] == "A, 1 MiB; B, 2 MiB"


def test_a_workspace_that_does_not_exist_yet_is_judged_by_the_folder_around_it(tmp_path):
    assert capability("local", tmp_path / "a" / "b").ready
