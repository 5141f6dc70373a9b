"""How a function of the user's own is named: its file, a colon, its name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

UserFunction = Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", examples=["preprocessing.py:preprocessing_fn"])]
