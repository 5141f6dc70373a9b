"""A digest of everything that decides the outcome of a run but its data and the metadata store, computed without TFX."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.infra_validator.docker import serves_in_container
from pipeline.errors import ConveyorError
from pipeline.util import code

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

CODE = ("pipeline.local.worker", *code.NODES)
"""The modules from which all code that a run executes follows."""


def fingerprint(config: PipelineConfig) -> str:
    """A digest of the configuration, of all code that the pipeline is made of, and of what this machine adds to both.

    Args:
      config: the pipeline's configuration.

    Returns:
      The digest; empty where something cannot be read, so that nothing is taken to be as it was.
    """
    try:
        parts = {
            "config": config.effective(),
            "files": {str(path): _digest(path) for path in _own_files(config)},
            "code": code.digest(*CODE),
            "installed": _installed(),
            "python": sys.version,
            "container": config.infra_validator.enabled and serves_in_container(config.infra_validator),
        }
    # The run itself meets the same error and reports it better.
    except (OSError, ConveyorError):
        return ""
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _own_files(config: PipelineConfig) -> Iterator[Path]:
    """The curated schema and the files with the user's own functions."""
    if config.schema_source.path is not None:
        yield Path(config.resolve(config.schema_source.path))
    for reference in (config.preprocessing.preprocessing_fn, config.model.build_model):
        if reference is not None:
            yield Path(config.resolve(reference).rpartition(":")[0])


def _installed() -> list[str]:
    """Name and version of what is installed, as the names of its metadata folders have them."""
    return sorted({found.name for folder in sys.path for found in Path(folder).glob("*.dist-info")})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
