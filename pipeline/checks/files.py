"""The files and folders that a configuration names besides its data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.schema_importer.schema_file import read_curated_schema
from pipeline.checks.columns import shown, unknown_columns
from pipeline.config.flaws import Flaw
from pipeline.contracts.schema import Schema, read_schema
from pipeline.contracts.signature import public_key
from pipeline.errors import ConveyorError
from pipeline.training.user_code import UserFunction
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


def file_flaws(config: PipelineConfig) -> Iterator[Flaw]:
    """Files that are not there or not what they should be, and folders that cannot be written to."""
    yield from _schema_flaws(config)
    functions = {
        ("preprocessing", "preprocessing_fn"): config.preprocessing.preprocessing_fn,
        ("model", "build_model"): config.model.build_model,
    }
    for field, reference in functions.items():
        if reference is not None:
            try:
                UserFunction.read(".".join(field), config.resolve(reference))
            except ConveyorError as error:
                yield flaw_of(error, field)
    if config.push.public_key is not None:
        try:
            public_key(Path(config.resolve(config.push.public_key)))
        except ConveyorError as error:
            yield flaw_of(error, ("push", "public_key"))
    jar = config.execution.beam.flink.job_server_jar
    if jar is not None and not Path(config.resolve(jar)).is_file():
        yield Flaw(
            "The jar of Beam's job server is not there.",
            ("execution", "beam", "flink", "job_server_jar"),
            "a file",
            config.resolve(jar),
            "Download it, as docs/beam.md says, or correct the path.",
        )
    for way, folder in ((("workspace",), config.workspace_path), (("push", "destination"), config.serving_path)):
        if (blocked := _blocked(folder)) is not None:
            yield Flaw(
                "The folder cannot be written to.",
                way,
                "a folder, or a place for one",
                blocked,
                "Name another folder, or ask for the right to write there.",
            )


def flaw_of(error: ConveyorError, field: tuple[str | int, ...]) -> Flaw:
    """An error of a field's value as a flaw of the field."""
    return Flaw(error.what, field, error.expected, error.seen, error.fix, error.where, type(error))


def _schema_flaws(config: PipelineConfig) -> Iterator[Flaw]:
    if config.schema_source.path is not None:
        try:
            schema = Schema.of(read_curated_schema(Path(config.resolve(config.schema_source.path))))
        except ConveyorError as error:
            yield flaw_of(error, ("schema", "path"))
        else:
            if config.label not in schema.by_name:
                yield Flaw(
                    f"The label {config.label!r} is not in the curated schema.",
                    ("label",),
                    f"one of {shown(schema.by_name)}",
                    config.label,
                    did_you_mean(config.label, schema.by_name) or f"Add the label to {config.schema_source.path}.",
                )
            # What is not read is in no schema that was accepted.
            yield from unknown_columns(config, dict.fromkeys((*schema.by_name, *config.unread)), "the curated schema")
    if config.gateway.feature_schema is not None:
        try:
            read_schema(
                Path(config.resolve(config.gateway.feature_schema)), fix="Correct gateway.feature_schema, or leave it out."
            )
        except ConveyorError as error:
            yield flaw_of(error, ("gateway", "feature_schema"))


def _blocked(folder: Path) -> str | None:
    """What keeps a folder from being written to; None where nothing does."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{there} is a file"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} belongs to another user"
