"""Repairing wheels, with a small one that asks for symbol versions which no system has."""

from __future__ import annotations

import base64
import csv
import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bootstrap.repair_wheels import RepairError, repair_wheel, system_versions

pytestmark = pytest.mark.integration

INTERPRETER = f"cp{sys.version_info.major}{sys.version_info.minor}"
TAG = f"{INTERPRETER}-{INTERPRETER}-manylinux_2_99_x86_64"
HERE = sysconfig.get_platform().replace("-", "_")

# Stands for the libraries of a newer system: the module is linked against these, and finds the real ones when it is loaded.
NEWER_SYSTEM = {
    "libc.so.6": (
        "GLIBC_2.99",
        "long __isoc23_strtol(const char*, char**, int) { return 0; } long from_the_future() { return 0; }",
    ),
    "libstdc++.so.6": ("GLIBCXX_3.4.99", "void _ZSt21ios_base_library_initv() {}"),
}
MODULE = """
#include <iostream>
extern "C" {
long __isoc23_strtol(const char*, char**, int);
void _ZSt21ios_base_library_initv();
long from_the_future();
long parse(const char* text) {
  _ZSt21ios_base_library_initv();
  std::cout << "parsing" << std::endl;
  return __isoc23_strtol(text, nullptr, 10) %s;
}
}
"""


def compile_(*arguments: str | Path) -> None:
    subprocess.run(["c++", "-shared", "-fPIC", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def newer_system(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("newer")
    for soname, (version, source) in NEWER_SYSTEM.items():
        (folder / "stub.cc").write_text(f'extern "C" {{ {source} }}')
        (folder / "stub.map").write_text(f"{version} {{ global: *; }};")
        compile_(
            folder / "stub.cc",
            "-nostdlib",
            f"-Wl,-soname,{soname}",
            f"-Wl,--version-script={folder}/stub.map",
            "-o",
            folder / soname,
        )
    return [folder / soname for soname in NEWER_SYSTEM]


@pytest.fixture
def build_wheel(tmp_path, newer_system):
    """Builds a wheel with one module, linked against the newer system or against none."""

    def _build(expression: str = "", against: list[Path] = newer_system) -> Path:
        source, module = tmp_path / "module.cc", tmp_path / "module.so"
        source.write_text(MODULE % expression)
        compile_(source, *against, "-o", module)
        wheel = tmp_path / f"sample-1.0-{TAG}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(module, "sample/module.so")
            archive.writestr("sample/__init__.py", "")
            archive.writestr("sample-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
            archive.writestr("sample-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {TAG}\n")
            archive.writestr("sample-1.0.dist-info/RECORD", "")
        return wheel

    return _build


def load_and_parse(module: Path) -> subprocess.CompletedProcess[str]:
    """Loads a module and calls it in a process of its own."""
    script = f"import ctypes; print(ctypes.CDLL({str(module)!r}).parse(b'42'))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def install(wheel: Path, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(folder),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    return folder / "sample" / "module.so"


def test_a_repaired_wheel_installs_loads_and_computes_right(build_wheel, tmp_path):
    original = build_wheel()
    with zipfile.ZipFile(original) as archive:
        archive.extractall(tmp_path / "as-it-was")
    assert "' not found (required by" in load_and_parse(tmp_path / "as-it-was/sample/module.so").stderr

    repaired = repair_wheel(original, tmp_path / "repaired")

    assert repaired == tmp_path / "repaired" / f"sample-1.0-{INTERPRETER}-{INTERPRETER}-{HERE}.whl"
    done = load_and_parse(install(repaired, tmp_path / "installed"))
    assert done.stdout.splitlines() == ["parsing", "42"], done.stderr


def test_the_record_of_a_repaired_wheel_holds(build_wheel, tmp_path):
    with zipfile.ZipFile(repair_wheel(build_wheel(), tmp_path / "repaired")) as archive:
        record = list(csv.reader(archive.read("sample-1.0.dist-info/RECORD").decode().splitlines()))
        contents = {name: archive.read(name) for name in archive.namelist()}

    assert {name for name, _, _ in record} == set(contents)
    assert "sample/libconveyor_glibc_shim.so" in contents
    for name, digest, size in record[:-1]:
        sha256 = hashlib.sha256(contents[name]).digest()
        assert digest == "sha256=" + base64.urlsafe_b64encode(sha256).decode().rstrip("=")
        assert int(size) == len(contents[name])
    assert f"Tag: {INTERPRETER}-{INTERPRETER}-{HERE}\n".encode() in contents["sample-1.0.dist-info/WHEEL"]


def test_the_original_stays_and_nothing_else_is_left_behind(build_wheel, tmp_path):
    original = build_wheel()
    before = original.read_bytes()

    repaired = repair_wheel(original, tmp_path / "repaired")

    assert original.read_bytes() == before
    assert list((tmp_path / "repaired").iterdir()) == [repaired]


def test_a_symbol_that_the_shim_does_not_define_is_an_error(build_wheel, tmp_path):
    with pytest.raises(RepairError, match=r"module\.so needs from_the_future"):
        repair_wheel(build_wheel("+ from_the_future()"), tmp_path / "repaired")
    assert list((tmp_path / "repaired").iterdir()) == []


def test_a_wheel_that_loads_anyway_is_not_touched(tmp_path, build_wheel):
    wheel = build_wheel(against=[])

    with pytest.raises(RepairError, match="needs no repair"):
        repair_wheel(wheel, tmp_path / "repaired")


def test_the_versions_of_a_library_are_those_it_defines():
    assert "GLIBC_2.17" in (system_versions("libc.so.6") or ())
    assert "GLIBC_2.99" not in (system_versions("libc.so.6") or ())
    assert system_versions("libnowhere.so.1") is None
