"""The capabilities of Conveyor on this machine, and the command that provides what one lacks."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from pipeline.util.programs import Prerequisite, ProgramError, check_program, read

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
# Peak of a run over 336,776 flights is about 2 GiB of memory; .conveyor grows by less than 0.2 GiB a run.
_MEMORY_NEEDED = 4 * _GIB
_DISK_NEEDED = 2 * _GIB
_DRIVER_SECONDS = 10.0


@dataclass(frozen=True)
class Capability:
    """Something that Conveyor can do on this machine if every prerequisite is met."""

    name: str
    purpose: str
    prerequisites: tuple[Prerequisite, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(one.ok for one in self.prerequisites)


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
    """Examines the machine without importing any of the packages.

    Args:
      workspace: the folder that runs write to; it need not exist yet.
    """
    engine = check_program("docker")
    return Diagnosis(
        versions={"python": platform.python_version(), "glibc": platform.libc_ver()[1] or "none", **_package_versions()},
        machine={
            "platform": platform.platform(),
            "cores": str(len(os.sched_getaffinity(0))),
            "memory": _gib(_memory_size()),
            "disk": f"{_gib(_disk_free(workspace))} free in {workspace.absolute()}",
            "accelerators": _accelerators(),
        },
        capabilities=(
            Capability("local", "run pipelines here", (_packages(), _memory(), _disk(workspace))),
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


def _packages() -> Prerequisite:
    requirements = [Requirement(text) for text in metadata.requires("tfx-conveyor") or ()]
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [
        f"{one.name} {version or 'missing'} instead of {one.specifier or 'any version'}"
        for one in needed
        if (version := _installed(one.name)) is None or not one.specifier.contains(version, prereleases=True)
    ]
    seen = "; ".join(wrong) or f"all {len(needed)} as required"
    return Prerequisite("packages", not wrong, seen, fix="make setup" if wrong else "")


def _memory() -> Prerequisite:
    size = _memory_size()
    enough = size >= _MEMORY_NEEDED
    fix = "" if enough else f"Use a machine with {_gib(_MEMORY_NEEDED)} or more"
    return Prerequisite("memory", enough, _gib(size), fix)


def _disk(workspace: Path) -> Prerequisite:
    folder = _existing(workspace)
    if not os.access(folder, os.W_OK):
        return Prerequisite("disk", False, f"{folder} cannot be written to", fix="conveyor run --set workspace=FOLDER")
    free = _disk_free(workspace)
    enough = free >= _DISK_NEEDED
    fix = "" if enough else f"Free {_gib(_DISK_NEEDED - free)} on the disk of {folder}"
    return Prerequisite("disk", enough, f"{_gib(free)} free", fix)


def _compiler() -> Prerequisite:
    path = shutil.which("c++")
    return Prerequisite("c++", path is not None, path or "not on the path", fix="" if path else "sudo apt-get install g++")


def _model_server(engine: Prerequisite) -> Prerequisite:
    if path := shutil.which("tensorflow_model_server"):
        return Prerequisite("tensorflow serving", True, path)
    if engine.ok:
        return Prerequisite("tensorflow serving", True, f"in a container, {engine.seen}")
    return Prerequisite("tensorflow serving", False, "neither tensorflow_model_server nor Docker", fix=engine.fix)


def _accelerators() -> str:
    try:
        listed = read("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader", timeout=_DRIVER_SECONDS)
    except (ProgramError, OSError):
        return "none"
    return "; ".join(listed.strip().splitlines())


def _memory_size() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _disk_free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
