"""The commands that images are built, loaded and pushed with: docker and kind are programs that keep what they are asked."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from bootstrap import gpu_packages
from pipeline.cluster import image
from pipeline.errors import ConfigError, UsageError
from pipeline.util import checkout
from pipeline.util.programs import ProgramError

NAME = "conveyor:0.1.0"
DESCRIBED = [
    {
        "Size": 2_750_000_000,
        "Config": {
            "Labels": {"org.opencontainers.image.version": "0.2.0", "org.opencontainers.image.revision": "4f1c-dirty"},
        },
    }
]


class Machine:
    """A machine with a Docker engine and kind, and what they were asked to do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, io.StringIO()
        self.console = Console(file=self.printed, width=40)
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.images = folder / "images"
        self.images.write_text(json.dumps(DESCRIBED))
        self.program("docker", {"version": "echo 20.10.24", "image": f"cat {self.images}", "build": "echo 'Step 1/2'"})
        self.program("kind", {"version": "echo kind v0.32.0", "get": "echo conveyor"})

    def program(self, name: str, answers: dict[str, str]) -> None:
        cases = "\n".join(f"{first}) {answer} ;;" for first, answer in answers.items())
        program = self.programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.folder}/calls\ncase $1 in\n{cases}\nesac\n')
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What changes something; questions left out."""
        calls = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        return [call for call in calls if not re.match(r"\w+ (version|image inspect|get)\b", call)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
    for variable in image.FORWARDED:
        monkeypatch.delenv(variable, raising=False)
    return machine


def test_a_build_is_of_this_checkout_and_says_which(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "revision", lambda sources: "4f1c-dirty")

    built = image.build(NAME, machine.console)

    assert built == image.Image(NAME, 2_750_000_000, "0.2.0", "4f1c-dirty", "")
    given = f"--build-arg VERSION={version('tfx-conveyor')} --build-arg REVISION=4f1c-dirty"
    assert machine.calls == [f"docker build {given} --tag {NAME} {checkout.ROOT}"]


def test_the_command_and_its_output_are_shown(machine: Machine) -> None:
    image.build(NAME, machine.console)

    assert "$ docker build" in machine.printed.getvalue()
    assert "Step 1/2" in machine.printed.getvalue()


def test_arguments_and_network_are_handed_on(machine: Machine) -> None:
    image.build(NAME, machine.console, build_arguments=["BASE_IMAGE=debian:13", "HTTP_PROXY"], network="host")

    (call,) = machine.calls
    assert "--build-arg BASE_IMAGE=debian:13 --build-arg HTTP_PROXY --network host" in call


def test_an_index_holds_in_the_build_and_is_not_shown(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "file:///packages/hush")

    image.build(NAME, machine.console)

    (call,) = machine.calls
    assert "--build-arg PIP_INDEX_URL --tag" in call
    assert "hush" not in call + machine.printed.getvalue()


def test_a_failed_build_says_so(machine: Machine) -> None:
    machine.program("docker", {"version": "echo 20.10.24", "build": "echo 'no space left' >&2; exit 1"})

    with pytest.raises(ProgramError, match="docker failed") as caught:
        image.build(NAME, machine.console)

    assert caught.value.seen == "no space left"
    assert "docs/image.md" in caught.value.fix
    assert (checkout.ROOT / "docs" / "image.md").is_file()


def test_an_installed_package_is_not_a_checkout(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)

    with pytest.raises(UsageError, match="works in a checkout of Conveyor alone"):
        image.build(NAME, machine.console)

    assert machine.calls == []


@pytest.mark.parametrize("action", [image.build, image.push, lambda name, console: image.load(name, "kind-conveyor", console)])
def test_without_an_engine_nothing_is_done(machine: Machine, action) -> None:
    machine.program("docker", {"version": "echo 'Cannot connect to the Docker daemon' >&2; exit 1"})

    with pytest.raises(UsageError, match="docker cannot be used") as caught:
        action("registry/conveyor:1", machine.console)

    assert caught.value.fix == "Run: sudo systemctl start docker"
    assert machine.calls == []


@pytest.mark.parametrize("action", [image.build, image.push, lambda name, console: image.load(name, "kind-conveyor", console)])
@pytest.mark.parametrize(
    "name",
    [
        "conveyor",
        "conveyor:latest",
        "registry:5000/conveyor",
        "registry/conveyor@sha256:" + 64 * "0",
        f"registry:5000/{NAME}@sha256:" + 64 * "0",
    ],
)
def test_a_name_that_tells_no_build_is_refused(machine: Machine, action, name: str) -> None:
    with pytest.raises(ConfigError, match="needs a tag") as caught:
        action(name, machine.console)

    assert caught.value.seen == name
    image.check_name(re.search(r"kubeflow\.image: (\S+)", caught.value.fix)[1])
    assert machine.calls == []


def test_an_image_is_loaded_into_the_cluster_of_the_context(machine: Machine) -> None:
    loaded = image.load(NAME, "kind-conveyor", machine.console)

    assert loaded.name == NAME
    assert machine.calls == [f"kind load docker-image {NAME} --name conveyor"]


def test_a_context_that_is_not_kinds_is_refused(machine: Machine) -> None:
    with pytest.raises(UsageError, match="kind clusters only") as caught:
        image.load(NAME, "production", machine.console)

    assert "conveyor image push" in caught.value.fix
    assert machine.calls == []


def test_a_cluster_that_is_not_there_is_named(machine: Machine) -> None:
    with pytest.raises(UsageError, match="no kind cluster 'other'") as caught:
        image.load(NAME, "kind-other", machine.console)

    assert caught.value.seen == "conveyor"
    assert machine.calls == []


@pytest.mark.parametrize("action", [image.push, lambda name, console: image.load(name, "kind-conveyor", console)])
def test_an_image_that_is_not_built_is_asked_for(machine: Machine, action) -> None:
    machine.program("docker", {"version": "echo 20.10.24", "image": "echo 'No such image' >&2; exit 1"})

    with pytest.raises(UsageError, match="no image registry/conveyor:1") as caught:
        action("registry/conveyor:1", machine.console)

    assert caught.value.fix == "Run: conveyor image build"
    assert machine.calls == []


def test_an_image_is_pushed_to_the_registry_in_its_name(machine: Machine) -> None:
    digest, other = "sha256:" + 64 * "1", "sha256:" + 64 * "2"
    digests = [f"elsewhere/team/conveyor@{other}", f"registry:5000/team/conveyor@{digest}"]
    machine.images.write_text(json.dumps([{**DESCRIBED[0], "RepoDigests": digests}]))

    pushed = image.push("registry:5000/team/conveyor:0.1.0", machine.console)

    assert pushed.digest == digest
    assert machine.calls == ["docker push registry:5000/team/conveyor:0.1.0"]


def test_a_name_without_a_registry_is_not_pushed(machine: Machine) -> None:
    with pytest.raises(ConfigError, match="has no registry"):
        image.push(NAME, machine.console)

    assert machine.calls == []


def test_an_image_without_labels_is_of_an_unknown_version(machine: Machine) -> None:
    machine.images.write_text(json.dumps([{"Size": 1, "Config": {"Labels": None}}]))

    assert image.require(NAME) == image.Image(NAME, 1, "unknown", "unknown", "")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_a_revision_tells_of_changes_to_what_goes_into_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert checkout.revision(["Dockerfile"]) == "unknown"
    for name in ("Dockerfile", "README.md"):
        (tmp_path / name).write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "all")

    commit = checkout.revision(["Dockerfile"])
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    (tmp_path / "README.md").write_text("changed")
    assert checkout.revision(["Dockerfile"]) == commit
    (tmp_path / "Dockerfile").write_text("changed")
    assert checkout.revision(["Dockerfile"]) == f"{commit}-dirty"


FILES = ("Dockerfile", ".dockerignore", "requirements-gpu.lock", "requirements-image.lock")
FOLDERS = ("components", "pipeline", "serving")


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_a_change_to_any_source_of_the_image_is_marked(
    machine: Machine, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "checkout"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").touch()
    for file in FILES:
        shutil.copy(checkout.ROOT / file, root)
    monkeypatch.setattr(checkout, "ROOT", root)
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "all")

    image.build(NAME, machine.console)
    with (root / name if name in FILES else root / name / "__init__.py").open("a") as file:
        file.write("\n# changed\n")
    image.build(NAME, machine.console)

    clean, dirty = (re.search(r"REVISION=(\S+)", call)[1] for call in machine.calls)
    assert dirty == f"{clean}-dirty"


def pins(lock: str) -> dict[str, str]:
    """The entries of a lock by requirement, hashes included."""
    text = re.sub(r"^ *#.*\n", "", (checkout.ROOT / lock).read_text(), flags=re.MULTILINE)
    return {entry.partition(" \\")[0]: entry for entry in re.split(r"\n(?=[a-z0-9])", text.strip())}


def names(requirements: dict[str, str]) -> set[str]:
    return {Requirement(requirement).name for requirement in requirements}


def excluded() -> set[str]:
    lines = (checkout.ROOT / "requirements-image.excludes").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_image_has_the_same_packages_as_the_laptop_or_none() -> None:
    # What only tests need may add conditions to a package, which the image does not have.
    image, laptop = (
        {(requirement.partition(" ;")[0], tuple(re.findall(r"sha256:\w+", entry))) for requirement, entry in pins(lock).items()}
        for lock in ("requirements-image.lock", "requirements.lock")
    )
    assert image <= laptop


def test_the_image_has_all_that_the_project_needs_but_what_is_left_out() -> None:
    # tomllib is younger than Python 3.10.
    project = re.search(r"^dependencies = \[(.*?)^\]", (checkout.ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    needed = {Requirement(text).name for text in re.findall(r'^ +"(.+)",$', project[1], re.MULTILINE)}
    locked = names(pins("requirements-image.lock"))

    assert "kfp" in needed
    assert needed - locked == needed & excluded()
    assert not locked & excluded()


def test_an_image_for_gpus_has_what_tensorflow_asks_for() -> None:
    locked = {Requirement(entry).name: Requirement(entry).specifier for entry in pins("requirements-gpu.lock")}
    for requirement in gpu_packages.requirements():
        (pin,) = locked.pop(requirement.name)
        assert pin.version in requirement.specifier
    assert not locked
    assert not names(pins("requirements-gpu.lock")) & names(pins("requirements-image.lock"))


@pytest.mark.parametrize(("accelerator", "installed"), [("none", False), ("gpu", True), ("cuda", None)])
def test_the_image_has_libraries_for_gpus_where_that_is_asked_for(accelerator: str, installed: bool | None) -> None:
    """The step of the Dockerfile, as a shell runs it, with echo in the place of pip."""
    (step,) = re.findall(r'case "\$ACCELERATOR".*?esac', (checkout.ROOT / "Dockerfile").read_text(), re.DOTALL)
    script = f"pip='echo pip'; {step}".replace("\\\n", "\n")
    done = subprocess.run(["sh", "-c", script], env={"ACCELERATOR": accelerator}, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (installed is not None)
    assert ("requirements-gpu.lock" in done.stdout) is bool(installed)


def test_what_is_left_out_was_there() -> None:
    assert excluded() <= names(pins("requirements.lock"))
