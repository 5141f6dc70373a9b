"""Loads a configuration from YAML and the command line, and names every problem in it with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config import PipelineConfig
from pipeline.config.addresses import without_password
from pipeline.config.flaws import Flaw, FlawedError
from pipeline.errors import ConfigError, ConveyorError, DataError
from pipeline.util.suggestions import did_you_mean

# The way to a value: names of fields and, in lists, positions.
_Location = tuple[str | int, ...]


def load_config(path: Path, overrides: Sequence[str] = (), *, as_written: bool = False) -> PipelineConfig:
    """Reads and validates a pipeline's configuration.

    Args:
      path: a YAML file. Relative paths in it are relative to its folder and become absolute.
      overrides: `field=value` each, as `training.epochs=3`; values are YAML.
      as_written: leaves paths as they stand in the file, to be shown.

    Raises:
      ConfigError: the file cannot be read, or it and the overrides do not make a valid configuration. All problems are
        listed, each with its line.
    """
    fields, origins = _fields(path, overrides)
    return _validate(fields, origins, path, None if as_written else path.absolute().parent)


def build_config(fields: Mapping[str, Any], folder: Path) -> PipelineConfig:
    """Validates a configuration that is in no file.

    Args:
      fields: as YAML would hold them.
      folder: the folder that relative paths are relative to.

    Raises:
      ConfigError: they do not make a valid configuration. All problems are listed.
    """
    return _validate(fields, {(): ""}, None, folder.absolute())


def flawed(flaws: Sequence[Flaw], path: Path | None = None, overrides: Sequence[str] = ()) -> ConveyorError:
    """The error for flaws of a configuration that only its data or other files show.

    Args:
      flaws: at least one.
      path: the file that the configuration was loaded from; None for one that is in no file.
      overrides: those that it was loaded with.

    Returns:
      An error that lists all of them, each with its line.
    """
    return _as_error(flaws, path, {(): ""} if path is None else _fields(path, overrides)[1])


def _fields(path: Path, overrides: Sequence[str]) -> tuple[dict[Any, Any], dict[_Location, str]]:
    """The fields of the file and the overrides, and for each location where it stands: `line 3`, or `--set field=value`."""
    fields, origins = _read(path)
    for override in overrides:
        location, value = _parse_override(override)
        _set(fields, location, value, origins, f"--set {override}")
    return fields, origins


def _validate(
    fields: Mapping[Any, Any], origins: Mapping[_Location, str], path: Path | None, folder: Path | None
) -> PipelineConfig:
    try:
        return PipelineConfig.model_validate(fields, context=None if folder is None else {"folder": folder})
    except ValidationError as error:
        flaws = [flaw for details in error.errors() for flaw in _flaws(details)]
    raise _as_error(flaws, path, origins)


def _read(path: Path) -> tuple[dict[Any, Any], dict[_Location, str]]:
    """The file's fields, and for each location where it stands: `line 3`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "The configuration does not exist.", where=str(path), fix="Name one that does: CONFIG or --config."
        ) from None
    except IsADirectoryError:
        files = sorted(path.glob("*.yaml"), key=lambda file: (file.name != "pipeline.yaml", file.name))
        raise ConfigError(
            "The configuration is a folder.",
            where=str(path),
            expected="a YAML file",
            fix=f"Name the file in it: {files[0]}" if files else f"Of a folder of data: conveyor init {path} --label COLUMN",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "The configuration cannot be read.", where=str(path), expected="a text file in UTF-8", seen=str(error)
        ) from error
    origins: dict[_Location, str] = {}
    try:
        fields = _parse(text, origins, path)
    # PyYAML lets ValueError through for a date such as 2013-02-31, and a node that contains itself never ends.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            "The configuration is not YAML.",
            where=f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path),
            seen=getattr(error, "problem", None) or str(error),
            fix="Check indentation, quotes and brackets there and on the line before.",
        ) from error
    if not isinstance(fields, dict):
        raise ConfigError(
            "The configuration is not a mapping.",
            where=str(path),
            expected="fields with values, such as 'name: flights'",
            seen="an empty file" if fields is None else f"a {type(fields).__name__}",
            fix="docs/configuration.md describes the fields.",
        )
    return fields, origins


def _parse(text: str, origins: dict[_Location, str], path: Path) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _locate(root, (), origins, path)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _locate(node: yaml.Node, location: _Location, origins: dict[_Location, str], path: Path) -> None:
    origins.setdefault(location, f"line {node.start_mark.line + 1}")
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _locate(child, (*location, index), origins, path)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            inner = (*location, str(key.value))
            line = key.start_mark.line + 1
            # YAML parsers keep the last of two values silently.
            if inner in origins:
                raise ConfigError(
                    f"{_dotted(inner)} is given twice.",
                    where=f"{path}, line {line}",
                    seen=f"first on {origins[inner]}",
                    fix="Keep one of them.",
                )
            origins[inner] = f"line {line}"
            _locate(child, inner, origins, path)


def _parse_override(override: str) -> tuple[_Location, Any]:
    field, equals, text = override.partition("=")
    if not equals or not field.strip():
        raise ConfigError(
            "An override has no field or no value.",
            where=f"--set {override}",
            expected="field=value, such as training.epochs=3",
            seen=override,
        )
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            "The value of an override is not YAML.",
            where=f"--set {override}",
            seen=text,
            fix="Quote it: --set 'field=\"value\"'",
        ) from error
    return tuple(field.strip().split(".")), value


def _set(fields: dict[Any, Any], location: _Location, value: Any, origins: dict[_Location, str], origin: str) -> None:
    for depth, name in enumerate(location[:-1], start=1):
        if not isinstance(fields.get(name), dict):
            fields[name] = {}
            origins[location[:depth]] = origin
        fields = fields[name]
    fields[location[-1]] = value
    origins[location] = origin


def _flaws(details: Mapping[str, Any]) -> tuple[Flaw, ...]:
    """The flaws that one of pydantic's errors stands for."""
    kind, location = details["type"], tuple(details["loc"])
    field, seen = _dotted(location), _shown(details["input"])
    schema = _schema_at(location)
    description = str(schema.get("description", "")).partition("\n")[0]
    error = details.get("ctx", {}).get("error")
    if isinstance(error, FlawedError):
        return tuple(_located(flaw, location, seen) for flaw in error.flaws)
    if kind == "extra_forbidden":
        name, siblings = str(location[-1]), _fields_of(location[:-1])
        fix = _did_you_mean(name, siblings) or _elsewhere(name)
        return (Flaw(f"{field} is not a field.", location, f"one of {', '.join(siblings)}", fix=fix),)
    if kind == "missing":
        return (Flaw(f"{field} is required, but not given.", location, description, "", f"Add it: {location[-1]}: …"),)
    if kind == "value_error":
        return (_located(Flaw(f"{error}."), location, seen),)
    expected = details["msg"].removeprefix("Input should be ")
    if kind == "too_short":
        least = details["ctx"]["min_length"]
        if len(details["input"]) >= least:
            # It is only too short without the entries that are wrong, each of which is told.
            return ()
        expected = "one entry or more" if least == 1 else f"{least} entries or more"
    if kind == "string_pattern_mismatch":
        expected = str(schema.get("patternErrorMessage") or description or expected)
    fix = _did_you_mean(str(details["input"]), schema.get("enum", ()))
    if kind == "string_type" and isinstance(details["input"], bool | int | float):
        fix = "Text that YAML reads as something else is written in quotes, as it is to be read."
    return (Flaw(f"{field} has a value that it cannot have.", location, expected, seen, fix),)


def _located(flaw: Flaw, location: _Location, seen: str) -> Flaw:
    """A flaw that a validator of the configuration has found, as seen from the configuration as a whole."""
    field = (*location, *flaw.field)
    # The input of a whole section says nothing.
    return replace(
        flaw,
        what=f"{_dotted(field)}: {flaw.what}" if location else flaw.what,
        field=field,
        seen=flaw.seen or (seen if location and not flaw.field else ""),
    )


def _as_error(flaws: Sequence[Flaw], path: Path | None, origins: Mapping[_Location, str]) -> ConveyorError:
    places = list(origins)
    in_order = sorted(flaws, key=lambda flaw: places.index(_nearest(flaw.field, origins)))
    errors: list[ConveyorError] = []
    for flaw in in_order:
        origin = origins[_nearest(flaw.field, origins)]
        where = f"{path}, {origin}" if path and not origin.startswith("--set") else origin or _dotted(flaw.field)
        texts = {"where": flaw.where or where, "expected": flaw.expected, "seen": flaw.seen, "fix": flaw.fix}
        errors.append(flaw.kind(flaw.what, **{name: without_password(text) for name, text in texts.items()}))
    return _combine(errors, path)


def _combine(errors: Sequence[ConveyorError], path: Path | None) -> ConveyorError:
    manual = "`conveyor config schema` and docs/configuration.md describe every field."
    if len(errors) == 1:
        errors[0].fix = errors[0].fix or manual
        return errors[0]
    lines = []
    for error in errors:
        # A suggestion makes the list of what is allowed needless.
        expected = f"expected {error.expected}" if error.expected and not error.fix else ""
        parts = (error.what.rstrip("."), f"seen {error.seen}" if error.seen else "", expected)
        where = error.where.removeprefix(f"{path}, ")
        line = f"{where}: {'; '.join(part for part in parts if part)}".removeprefix(": ")
        lines.append(f"{line}. {error.fix}" if error.fix else line)
    where = "" if path is None else str(path)
    kind = DataError if all(isinstance(error, DataError) for error in errors) else ConfigError
    return kind(f"The configuration has {len(errors)} problems.", where=where, seen="\n".join(lines), fix=manual)


def _dotted(location: _Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _nearest(location: _Location, origins: Mapping[_Location, str]) -> _Location:
    """The location, or the nearest one around it, that has an origin; the file as a whole always has one."""
    while location not in origins:
        location = location[:-1]
    return location


def _shown(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _did_you_mean(name: str, allowed: Sequence[str]) -> str:
    longer = [choice for choice in allowed if name and choice.startswith(name)]
    return did_you_mean(name, longer, cutoff=0) or did_you_mean(name, allowed)


@cache
def _json_schema() -> dict[str, Any]:
    return PipelineConfig.model_json_schema()


def _schema_at(location: _Location) -> Mapping[str, Any]:
    """The JSON schema of the field at a location; empty where the configuration has no such field."""
    root = _json_schema()
    schema = _resolved(root, root)
    for part in location:
        inner = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        others: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
        schema = _resolved(inner or others, root)
    return schema


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with what it refers to; of alternatives, the first: the second is null."""
    schema = {**schema.get("anyOf", ({},))[0], **schema}
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    return schema


def _fields_of(location: _Location) -> list[str]:
    return list(_schema_at(location).get("properties", ()))


def _elsewhere(name: str) -> str:
    """Where a field of this name does exist, as "Did you mean 'training.epochs'?"."""
    places = [f"{section}.{name}" for section in _fields_of(()) if name in _fields_of((section,))]
    return f"Did you mean {places[0]!r}?" if places else ""
