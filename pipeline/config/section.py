"""The base of all sections, and the types that several of them have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from pipeline.config.flaws import checked_by
from pipeline.contracts import input_pattern
from pipeline.errors import UsageError
from pipeline.util.paths import expand_home, is_object, require_path

_PLACEHOLDERS = ("{workspace}", "{name}")


def _check_path(path: str) -> None:
    require_path(path)
    unknown = sorted(set(re.findall(r"\{[^{}/]*\}", path)) - {*_PLACEHOLDERS})
    if unknown:
        raise UsageError(
            f"A path has an unknown placeholder: {', '.join(unknown)}.",
            expected="{workspace} at the beginning, {name} anywhere",
            seen=path,
            fix="Correct the placeholder, or name a folder without braces.",
        )
    _check_workspace(path)


def _check_pattern(pattern: str) -> None:
    input_pattern.check(pattern, _PLACEHOLDERS)
    _check_workspace(pattern)


def _check_workspace(path: str) -> None:
    if "{workspace}" in path[1:]:
        raise UsageError(
            "{workspace} stands for a whole path, so nothing can stand before it.",
            expected="{workspace} at the beginning",
            seen=path,
            fix=f"Write: {path[path.rindex('{workspace}') :]}",
        )
    expand_home(path)


def _from_folder(path: str, info: ValidationInfo) -> str:
    # An empty path turns off what is written to it.
    if not info.context or not path or path.startswith("{workspace}") or is_object(path):
        return path
    return str(info.context["folder"] / expand_home(path))


ConfigPath = Annotated[str, checked_by(_check_path), AfterValidator(_from_folder)]
"""A path, relative to the configuration's folder until the file is loaded, absolute from then on. Its placeholders stay: the
workspace of a pod is another one."""

InputPattern = Annotated[str, Field(min_length=1), checked_by(_check_pattern), AfterValidator(_from_folder)]
"""A path that may have `*`, `?`, {SPAN} and {VERSION}, resolved as a ConfigPath is; or such an address, s3:// or gs://."""

FunctionReference = Annotated[
    str,
    Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", examples=["preprocessing.py:preprocessing_fn"]),
    checked_by(_check_path),
    AfterValidator(_from_folder),
]
"""A function of the user's own: the path of its file, a colon, its name."""


class Section(BaseModel):
    """A part of the configuration. Fields that it does not have, NaN and infinity are refused. Nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
