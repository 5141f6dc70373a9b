"""Reads TensorFlow's and TFMA's files without importing TensorFlow, which would take seconds."""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4


def read_records(path: Path) -> Iterator[bytes]:
    """The records of an uncompressed TFRecord file: each a length, its checksum, the data and its checksum.

    Args:
      path: the file; checksums are not verified.
    """
    with path.open("rb") as file:
        while header := file.read(_LENGTH.size + _CHECKSUM_BYTES):
            (length,) = _LENGTH.unpack_from(header)
            yield file.read(length)
            file.seek(_CHECKSUM_BYTES, 1)


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
    package = importlib.util.find_spec("tensorflow_model_analysis")
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
