"""What workflows on GitHub may do, which code of others they run, and that what they call is there."""

from __future__ import annotations

import os
import re
import runpy
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from pipeline.cli.main import app
from pipeline.config import Kubeflow
from pipeline.util.checkout import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
# What a stranger can write: names of branches, titles, texts.
STRANGERS = re.compile(r"\$\{\{[^}]*\}\}")


def workflow(path: Path) -> dict[str, Any]:
    # YAML takes `on` for true.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def jobs(path: Path) -> dict[str, Any]:
    return dict(workflow(path)["jobs"])


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_workflows():
    assert {path.stem for path in FILES} >= {"kind-e2e", "model", "release", "test"}


def test_actions_are_named_by_digest_with_their_release(path):
    used = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if re.match(r"\s*-? ?uses:", line)]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_one_action_has_one_release():
    used = {line.split("uses: ")[1] for path in FILES for line in path.read_text().splitlines() if "uses: " in line}
    assert len(used) == len({line.split("@")[0] for line in used})


def test_nothing_is_allowed_but_what_a_job_needs(path):
    assert workflow(path)["permissions"] in ({}, {"contents": "read"})
    for name, job in jobs(path).items():
        writes = {scope for scope, level in job.get("permissions", {}).items() if level == "write"}
        if writes and path.stem != "release":
            # Code of the change must not run where something may be written.
            assert not any("checkout" in step.get("uses", "") for step in job["steps"]), name


def test_a_change_never_runs_with_the_rights_of_the_repository(path):
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(path)["on"])


def test_every_job_ends(path):
    assert [name for name, job in jobs(path).items() if not 0 < job.get("timeout-minutes", 0) <= 120] == []


def test_no_checkout_leaves_a_token_behind(path):
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_text_of_a_stranger_becomes_a_command(path):
    assert [step["run"] for step in steps(path) if STRANGERS.search(step.get("run", ""))] == []


def test_the_commands_are_there(path):
    known = typer.main.get_command(app).commands
    called = re.findall(r"(?:^|bin/| )conveyor ([a-z]+)", "\n".join(step.get("run", "") for step in steps(path)), re.MULTILINE)
    assert set(called) <= known.keys()


def test_the_files_are_there(path):
    text = path.read_text()
    for name in re.findall(
        r"\.github/scripts/[\w.-]+|\.github/tools\.lock|requirements[\w-]*\.lock(?!\*)|examples/[\w/]+\.yaml", text
    ):
        assert (ROOT / name).is_file(), name


def test_scripts_can_be_executed():
    for script in (ROOT / ".github" / "scripts").glob("*.sh"):
        assert script.stat().st_mode & stat.S_IXUSR, script
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0, script


CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [0.2.0] - 2026-12-01\n\n- a thing\n\n## [0.1.0]\n\n- the first\n"


@pytest.fixture
def notes() -> Any:
    return runpy.run_path(str(ROOT / ".github" / "scripts" / "release_notes.py"))["notes"]


def test_a_release_has_the_notes_of_its_version(notes):
    assert notes("v0.2.0", CHANGELOG, 'version = "0.2.0"') == "- a thing"
    assert notes("v0.1.0", CHANGELOG, 'version = "0.1.0"') == "- the first"


@pytest.mark.parametrize(
    ("tag", "version", "said"),
    [("v0.3.0", "0.2.0", "pyproject.toml says 0.2.0"), ("v0.3.0", "0.3.0", "no section [0.3.0]")],
)
def test_a_tag_that_fits_neither_version_nor_changelog_is_refused(notes, tag, version, said):
    with pytest.raises(SystemExit, match=re.escape(said)):
        notes(tag, CHANGELOG, f'version = "{version}"')


def test_a_release_names_the_image_by_its_version_everywhere():
    script = runpy.run_path(str(ROOT / ".github" / "scripts" / "image_tags.py"))
    texts, version = script["texts"](), script["declared"]()
    assert Kubeflow().image == f"conveyor:{version}"
    assert [path for path, text in texts.items() if script["tagged"](text, version) != text] == []
    later = {path.relative_to(ROOT).as_posix() for path, text in texts.items() if script["tagged"](text, "1.2.3") != text}
    assert {"compose.yaml", "manifests/gateway/base/deployment.yaml", "pipeline/config/kubeflow.py"} <= later


def test_a_tag_keeps_what_is_behind_its_number():
    tagged = runpy.run_path(str(ROOT / ".github" / "scripts" / "image_tags.py"))["tagged"]
    before = f"team/conveyor:{'0.1.0'}-gpu, conveyor:latest, conveyor-gateway:{'0.1.0'}, conveyor:2"
    assert tagged(before, "0.2.0") == f"team/conveyor:{'0.2.0'}-gpu, conveyor:latest, conveyor-gateway:{'0.1.0'}, conveyor:2"


def release_step(name: str) -> str:
    """The commands of a step of a release."""
    return next(step["run"] for step in steps(ROOT / ".github/workflows/release.yml") if step.get("name") == name)


@pytest.mark.parametrize("runs", ["", "https://github.com/o/r/actions/runs/1"])
def test_a_release_is_of_a_commit_whose_tests_have_passed(runs, tmp_path):
    program = tmp_path / "gh"
    program.write_text(f'#!/bin/sh\necho "$*" > "{tmp_path}/asked"\necho "{runs}"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_SHA": "4f1c", "GITHUB_REPOSITORY": "o/r"}

    command = ["bash", "-e", "-c", release_step("The tests have passed on this commit")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert (done.returncode == 0) is bool(runs)
    assert "--workflow test.yml --commit 4f1c --status success" in (tmp_path / "asked").read_text()


def test_a_released_image_says_what_it_is():
    arguments = re.findall(r"^ARG (\w+)=unknown$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert arguments
    given = re.findall(r'--build-arg "(\w+)=\$', release_step("The image"))
    assert sorted(given) == sorted(arguments)


CONVEYOR = """#!/usr/bin/env bash
echo "$(basename "$PWD") $*" >> "$CALLS"
case $1 in
  run) exit "$(cat status)" ;;
  runs) echo "[{\\"run\\": \\"run-of-$(basename "$PWD")\\"}]" ;;
  compare) echo "## $2 and $3"; exit "$(cat worse)" ;;
esac
"""


@pytest.fixture
def compared(tmp_path):
    """Compares two checkouts whose runs end with these exit codes; returns the exit code, the page, and the calls."""

    def compare(base: int, change: int, worse: int = 0) -> tuple[int, str, list[str]]:
        for name, status in (("base", base), ("change", change)):
            program = tmp_path / name / ".venv" / "bin" / "conveyor"
            program.parent.mkdir(parents=True)
            program.write_text(CONVEYOR)
            program.chmod(0o755)
            (tmp_path / name / "status").write_text(str(status))
            (tmp_path / name / "worse").write_text(str(worse))
        line = [ROOT / ".github/scripts/compare-models.sh", "base", "change", "page.md", "p.yaml", "--set", "training.epochs=3"]
        environment = {**os.environ, "CALLS": str(tmp_path / "calls")}
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, (tmp_path / "page.md").read_text(), (tmp_path / "calls").read_text().splitlines()

    return compare


def test_both_run_in_one_workspace_and_are_compared(compared, tmp_path):
    status, page, calls = compared(0, 0)
    assert (status, page) == (0, "## run-of-base and run-of-change\n")
    assert [call.split(" --")[0] for call in calls] == [
        "base run p.yaml",
        "base runs",
        "change run p.yaml",
        "change runs",
        "change compare run-of-base run-of-change",
    ]
    assert all(call.endswith(f"--set workspace={tmp_path}/.conveyor --set training.epochs=3") for call in calls)


@pytest.mark.parametrize(("code", "said"), [(4, "The model is worse than before"), (3, "The pipeline fails with this change")])
def test_a_change_for_the_worse_fails_and_is_compared_all_the_same(compared, code, said):
    status, page, _ = compared(4, code)
    assert status == code
    assert said in page
    assert page.endswith("## run-of-base and run-of-change\n")


def test_a_model_that_was_blessed_and_is_worse_fails(compared):
    status, page, _ = compared(0, 0, worse=5)
    assert (status, page) == (5, "**The model is worse than before.**\n\n## run-of-base and run-of-change\n")


def test_where_the_base_does_not_run_nothing_is_compared(compared):
    status, page, calls = compared(1, 0)
    assert status == 1
    assert "nothing to compare with" in page
    assert len(calls) == 1
