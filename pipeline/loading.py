"""Loads a configuration from YAML and the command line, and names every problem in it with its line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError

# The way to a value: names of fields and, in lists, positions.
_Location = tuple[str | int, ...]


def load_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads and validates a pipeline's configuration.

    Args:
      path: a YAML file. Relative paths in it are relative to its folder.
      overrides: `field=value` each, as `training.epochs=3`; values are YAML.

    Raises:
      ConfigError: the file cannot be read, or it and the overrides do not make a valid configuration. All problems are
        listed, each with its line.
    """
    fields, origins = _read(path)
    for override in overrides:
        location, value = _parse_override(override)
        _set(fields, location, value)
        origins[location] = f"--set {override}"
    try:
        return PipelineConfig.model_validate(fields, context={"folder": path.absolute().parent})
    except ValidationError as error:
        problems = [_Problem(details, path, origins) for details in error.errors(include_url=False)]
    raise _as_config_error(problems, path)


def _read(path: Path) -> tuple[dict[Any, Any], dict[_Location, str]]:
    """The file's fields, and for each location where it stands: `line 3`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "The configuration does not exist.", where=str(path), fix="name one that does: CONFIG or --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "The configuration cannot be read.", where=str(path), expected="a text file in UTF-8", seen=str(error)
        ) from error
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        origins: dict[_Location, str] = {}
        if root is not None:
            _locate(root, (), origins, path)
        fields = loader.construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            "The configuration is not YAML.",
            where=f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path),
            seen=getattr(error, "problem", None) or str(error),
            fix="check indentation, quotes and brackets there and on the line before",
        ) from error
    finally:
        loader.dispose()
    if not isinstance(fields, dict):
        raise ConfigError(
            "The configuration is not a mapping.",
            where=str(path),
            expected="fields with values, such as 'name: flights'",
            seen="an empty file" if fields is None else f"a {type(fields).__name__}",
            fix="see docs/configuration.md",
        )
    return fields, origins


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
                    fix="keep one of them",
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
    except yaml.YAMLError as error:
        raise ConfigError(
            "The value of an override is not YAML.",
            where=f"--set {override}",
            seen=text,
            fix="quote it: --set 'field=\"value\"'",
        ) from error
    return tuple(field.strip().split(".")), value


def _set(fields: dict[Any, Any], location: _Location, value: Any) -> None:
    for name in location[:-1]:
        if not isinstance(fields.get(name), dict):
            fields[name] = {}
        fields = fields[name]
    fields[location[-1]] = value


class _Problem:
    """One field that pydantic refuses, in the words of a ConveyorError."""

    def __init__(self, details: Mapping[str, Any], path: Path, origins: Mapping[_Location, str]) -> None:
        kind, location = details["type"], tuple(details["loc"])
        self.field = _dotted(location)
        self.origin = _origin(location, origins)
        self.where = self.origin if self.origin.startswith("--set") else f"{path}, {self.origin}"
        self.expected, self.seen, self.fix = "", _shown(details["input"]), ""
        if kind == "extra_forbidden":
            name, siblings = str(location[-1]), _fields_of(location[:-1])
            self.what = f"{self.field} is not a field."
            self.expected = f"one of {', '.join(siblings)}" if siblings else ""
            self.seen = ""
            self.fix = _did_you_mean(name, siblings) or _elsewhere(name)
        elif kind == "missing":
            self.what = f"{self.field} is required, but not given."
            self.expected, self.seen = _description(location), ""
            self.fix = f"add it: {location[-1]}: …"
        elif kind in ("value_error", "assertion_error"):
            self.what = details["msg"].partition(", ")[2].rstrip(".") + "."
            self.seen = self.seen if location else ""
        else:
            self.what = f"{self.field} has a value that it cannot have."
            self.expected = details["msg"].removeprefix("Input should be ").removeprefix("Input should ")
            if kind in ("literal_error", "enum"):
                allowed = [value.strip("'") for value in details["ctx"]["expected"].replace(" or ", ", ").split(", ")]
                self.fix = _did_you_mean(str(details["input"]), allowed)
            elif kind == "string_type":
                self.fix = "put it in quotes"

    def line(self) -> str:
        """The problem on one line; a suggestion makes the list of what is allowed needless."""
        mend = self.fix or (f"expected {self.expected}" if self.expected else "")
        seen = f"seen {self.seen}" if self.seen else ""
        return f"{self.origin}: {'; '.join(part for part in (self.what.rstrip('.'), seen, mend) if part)}"


def _as_config_error(problems: Sequence[_Problem], path: Path) -> ConfigError:
    fix = "'conveyor config schema' and docs/configuration.md describe every field"
    if len(problems) > 1:
        lines = "\n".join(problem.line() for problem in problems)
        return ConfigError(f"The configuration has {len(problems)} problems.", where=str(path), seen=lines, fix=fix)
    (only,) = problems
    return ConfigError(only.what, where=only.where, expected=only.expected, seen=only.seen, fix=only.fix or fix)


def _dotted(location: _Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _origin(location: _Location, origins: Mapping[_Location, str]) -> str:
    """Where the value at a location comes from, or else the nearest one around it that stands somewhere."""
    while location and location not in origins:
        location = location[:-1]
    return origins.get(location, "line 1")


def _shown(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _did_you_mean(name: str, allowed: Sequence[str]) -> str:
    longer = [choice for choice in allowed if name and choice.startswith(name)]
    matches = longer or difflib.get_close_matches(name, allowed, n=1)
    return f"did you mean {matches[0]}?" if matches else ""


def _schema_at(location: _Location) -> Mapping[str, Any]:
    """The JSON schema of the field at a location; empty where the configuration has no such field."""
    root = PipelineConfig.model_json_schema()
    schema: Mapping[str, Any] = root
    for part in (*location, None):
        choices = [schema, *schema.get("anyOf", ())]
        reference = next((choice["$ref"] for choice in choices if "$ref" in choice), None)
        if reference:
            schema = {**root["$defs"][reference.rpartition("/")[2]], **schema}
        if part is None:
            break
        inner = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        schema = inner or schema.get("additionalProperties") or {}
    return schema


def _fields_of(location: _Location) -> list[str]:
    return list(_schema_at(location).get("properties", ()))


def _description(location: _Location) -> str:
    return str(_schema_at(location).get("description", "")).partition("\n")[0]


def _elsewhere(name: str) -> str:
    """Where a field of this name does exist, as `did you mean training.epochs?`."""
    places = [f"{section}.{name}" for section in _fields_of(()) if name in _fields_of((section,))]
    return f"did you mean {places[0]}?" if places else ""
