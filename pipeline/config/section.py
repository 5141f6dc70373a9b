"""The base of all sections, and the types that several of them have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def _from_folder(path: str, info: ValidationInfo) -> str:
    # An empty path turns off what is written to it.
    if not info.context or not path or path.startswith("{workspace}"):
        return path
    return str(info.context["folder"] / path)


ConfigPath = Annotated[str, AfterValidator(_from_folder)]
"""A path, relative to the configuration's folder until the file is loaded, absolute from then on. Its placeholders stay: the
workspace of a pod is another one."""

FunctionReference = Annotated[
    str,
    Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", examples=["preprocessing.py:preprocessing_fn"]),
    AfterValidator(_from_folder),
]
"""A function of the user's own: the path of its file, a colon, its name."""


class Section(BaseModel):
    """A part of the configuration. Fields that it does not have are refused, and none changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
