"""What this machine has for each thing that Conveyor can do, and the command that mends what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PACKAGES = (
    "tfx-conveyor",
    "tfx",
    "tensorflow",
    "keras",
    "tensorflow-data-validation",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "tfx-bsl",
    "apache-beam",
    "ml-metadata",
    "kfp",
    "protobuf",
    "pyarrow",
)
"""The packages whose versions a bug report needs."""

_GIB = 1024**3


@dataclass(frozen=True)
class Program:
    """A program that Conveyor calls by name.

    Attributes:
      minimum: the oldest version that is supported.
      asks: the arguments that make it tell its version.
      get: how to install it.
    """

    minimum: str
    asks: tuple[str, ...]
    get: str


# The cluster's node image (manifests/kind) is made for kind 0.32 and runs Kubernetes 1.33, which kubectl may be one minor
# version away from. kubectl fetches Kubeflow's own manifests with git.
PROGRAMS = {
    "docker": Program("20.10", ("version", "--format", "{{.Server.Version}}"), "sudo apt-get install docker.io"),
    "git": Program("2.0", ("version",), "sudo apt-get install git"),
    "kind": Program(
        "0.32",
        ("version",),
        "go install sigs.k8s.io/kind@v0.32.0, or as in https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    ),
    "kubectl": Program(
        "1.32",
        ("version", "--client"),
        "sudo snap install kubectl --classic, or as in https://kubernetes.io/docs/tasks/tools/#kubectl",
    ),
}
"""The programs that clusters and images are made with."""

# Peak of a run over 336,776 flights is about 2 GiB of memory; .conveyor grows by less than 0.2 GiB a run.
_MEMORY_NEEDED = 4 * _GIB
_DISK_NEEDED = 2 * _GIB
_COMMAND_SECONDS = 10


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
      name: what.
      ok: whether it is there, and enough.
      seen: what was found.
      fix: the command that mends it; empty when it is there.
    """

    name: str
    ok: bool
    seen: str
    fix: str = ""


@dataclass(frozen=True)
class Capability:
    """Something that Conveyor can do on this machine, if every check holds."""

    name: str
    purpose: str
    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `conveyor doctor` prints; `versions` and `machine` are by name."""

    versions: dict[str, str]
    machine: dict[str, str]
    capabilities: tuple[Capability, ...]

    @property
    def ready(self) -> bool:
        """Whether pipelines can run on this machine."""
        return next(capability.ready for capability in self.capabilities if capability.name == "local")


def diagnose(workspace: Path) -> Diagnosis:
    """Looks at the machine, without importing any of the packages.

    Args:
      workspace: the folder that runs write to; it need not exist yet.
    """
    engine = check_program("docker")
    return Diagnosis(
        versions={"python": platform.python_version(), "glibc": platform.libc_ver()[1] or "none", **_package_versions()},
        machine={
            "platform": platform.platform(),
            "cores": str(len(os.sched_getaffinity(0))),
            "memory": _gib(_memory()),
            "disk": f"{_gib(_disk_free(workspace))} free in {workspace.absolute()}",
            "accelerators": _accelerators(),
        },
        capabilities=(
            Capability("local", "run pipelines here", (_packages(), _memory_check(), _disk_check(workspace))),
            Capability("set-up", "make setup after an update of the lock", (_compiler(),)),
            Capability("container", "build and try the image", (engine,)),
            Capability(
                "cluster",
                "run pipelines on Kubeflow in a local cluster",
                (engine, *(check_program(name) for name in ("git", "kind", "kubectl"))),
            ),
            Capability("serving", "answer requests with TensorFlow Serving", (_model_server(engine),)),
        ),
    )


def _package_versions() -> dict[str, str]:
    return {name: _installed(name) or "not installed" for name in PACKAGES}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Check:
    requirements = [Requirement(text) for text in metadata.requires("tfx-conveyor") or ()]
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [
        f"{one.name} {version or 'missing'} instead of {one.specifier or 'any version'}"
        for one in needed
        if (version := _installed(one.name)) is None or not one.specifier.contains(version, prereleases=True)
    ]
    seen = "; ".join(wrong) or f"all {len(needed)} as required"
    return Check("packages", not wrong, seen, fix="make setup" if wrong else "")


def _memory_check() -> Check:
    memory = _memory()
    enough = memory >= _MEMORY_NEEDED
    return Check("memory", enough, _gib(memory), fix="" if enough else f"use a machine with {_gib(_MEMORY_NEEDED)} or more")


def _disk_check(workspace: Path) -> Check:
    folder = _existing(workspace)
    if not os.access(folder, os.W_OK):
        return Check("disk", False, f"{folder} cannot be written to", fix="conveyor run --set workspace=FOLDER")
    free = _disk_free(workspace)
    enough = free >= _DISK_NEEDED
    return Check(
        "disk", enough, f"{_gib(free)} free", fix="" if enough else f"free {_gib(_DISK_NEEDED - free)} on the disk of {folder}"
    )


def _compiler() -> Check:
    return _program("c++", _apt("g++"))


def check_program(name: str) -> Check:
    """Whether docker, kind or kubectl is there, works, and is of a version that Conveyor supports.

    Args:
      name: one of the keys of `PROGRAMS`.
    """
    program = PROGRAMS[name]
    if not shutil.which(name):
        return Check(name, False, "not on the path", fix=program.get)
    try:
        answer = _output([name, *program.asks])
    except _CommandError as error:
        return Check(name, False, str(error), fix=_mend(name, str(error)))
    number = re.search(r"\d+\.\d+(\.\d+)?", answer)
    if number is None:
        return Check(name, False, f"no version in its answer: {answer[:80]!r}", fix=program.get)
    if Version(number[0]) < Version(program.minimum):
        return Check(name, False, f"{number[0]}, which is older than {program.minimum}", fix=program.get)
    return Check(name, True, f"{'engine ' if name == 'docker' else ''}{number[0]}")


def _mend(program: str, complaint: str) -> str:
    if program != "docker":
        return PROGRAMS[program].get
    if "permission denied" in complaint:
        return "sudo usermod -aG docker $USER, then log in again"
    return "sudo systemctl start docker"


def _model_server(engine: Check) -> Check:
    if path := shutil.which("tensorflow_model_server"):
        return Check("tensorflow serving", True, path)
    if engine.ok:
        return Check("tensorflow serving", True, f"in a container, {engine.seen}")
    return Check("tensorflow serving", False, "neither tensorflow_model_server nor Docker", fix=engine.fix)


def _program(name: str, fix: str) -> Check:
    path = shutil.which(name)
    return Check(name, path is not None, path or "not on the path", fix="" if path else fix)


def _apt(package: str) -> str:
    return f"sudo apt-get install {package}"


def _accelerators() -> str:
    try:
        listed = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    except _CommandError:
        return "none"
    return "; ".join(listed.splitlines())


class _CommandError(Exception):
    """A command that is not there, fails or hangs; the message is the last line it wrote on stderr."""


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _CommandError(str(error)) from error
    if done.returncode != 0:
        raise _CommandError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return done.stdout.strip()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _disk_free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
