"""Reads TensorFlow's and TFMA's files without importing TensorFlow, which would take seconds."""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import google_crc32c

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")


def read_records(path: Path) -> Iterator[bytes]:
    """The records of an uncompressed TFRecord file: each a length, its checksum, the data and its checksum.

    Args:
      path: the file.

    Raises:
      ValueError: a record is cut off, or is not what its checksum is of.
    """
    with path.open("rb") as file:
        while header := file.read(_LENGTH.size + _CHECKSUM.size):
            length = header[: _LENGTH.size]
            # Before that many bytes are read.
            _check(path, length, header[_LENGTH.size :])
            data = file.read(*_LENGTH.unpack(length))
            _check(path, data, file.read(_CHECKSUM.size))
            yield data


def _check(path: Path, data: bytes, checksum: bytes) -> None:
    """Makes sure that a checksum is that of some bytes: CRC-32C, masked as in tensorflow/core/lib/hash/crc32c.h."""
    crc: int = google_crc32c.value(data)
    if checksum != _CHECKSUM.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF):
        raise ValueError(f"a record of {path.name} is damaged")


@cache
def tfma_protos(name: str) -> Any:
    """A module of `tensorflow_model_analysis.proto`, without the package's `__init__`, which imports TensorFlow and Beam.

    Args:
      name: the module's name, such as `metrics_for_slice_pb2`.
    """
    full_name = f"tensorflow_model_analysis.proto.{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    from google.protobuf import wrappers_pb2  # noqa: F401 - TFMA's protos build on these

    if name == "validation_result_pb2":
        tfma_protos("config_pb2")
        tfma_protos("metrics_for_slice_pb2")
    # Where it is installed, also in a process that is told to do without it.
    package = PathFinder.find_spec("tensorflow_model_analysis")
    assert package is not None
    assert package.submodule_search_locations is not None
    return _load(f"_tfma_{name}", Path(package.submodule_search_locations[0]) / "proto" / f"{name}.py")


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
