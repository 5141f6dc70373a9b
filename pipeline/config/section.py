"""The base of all sections, and the types that several of them have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FunctionReference = Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", examples=["preprocessing.py:preprocessing_fn"])]
"""A function of the user's own: its file, a colon, its name."""


class Section(BaseModel):
    """A part of the configuration. Fields that it does not have are refused, and none changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
