"""What the shell completes: fields, nodes, runs and versions. What fails here completes nothing: the command tells it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from pipeline import nodes

_Complete = Callable[[str], list[str]]


def _beginning_with(candidates: Callable[[], Iterator[str]]) -> _Complete:
    @wraps(candidates, assigned=("__name__", "__doc__"))
    def complete(incomplete: str) -> list[str]:
        with suppress(Exception):
            return [each for each in candidates() if each.startswith(incomplete)]
        return []

    del complete.__wrapped__  # Typer would look at its signature.
    return complete


@_beginning_with
def complete_field() -> Iterator[str]:
    """The fields of a configuration, as `training.epochs=`."""
    from pipeline.config import PipelineConfig

    yield from _fields(PipelineConfig, "")


@_beginning_with
def complete_node() -> Iterator[str]:
    """The ids of the nodes."""
    yield from nodes.NODES


@_beginning_with
def complete_run() -> Iterator[str]:
    """The runs of the configuration that commands take by default, newest first, and `latest`."""
    yield "latest"
    yield from sorted((path.name for path in _default_config().runs_path.iterdir() if path.is_dir()), reverse=True)


@_beginning_with
def complete_version() -> Iterator[str]:
    """The pushed versions of the model of that configuration."""
    from pipeline.contracts.serving_folder import versions

    yield from map(str, versions(_default_config().serving_path))


def _default_config() -> Any:
    from pipeline.cli.options import read_config

    named = os.environ.get("CONVEYOR_CONFIG")
    return read_config(Path(named) if named else None)


def _fields(section: Any, prefix: str) -> Iterator[str]:
    from pydantic import BaseModel

    for name, field in section.model_fields.items():
        name = field.alias or name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}="
