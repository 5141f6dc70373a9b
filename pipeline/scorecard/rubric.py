"""The 28 tests, as `rubric.yaml` beside this module lists them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("rubric.yaml")


class Section(str, Enum):
    """A section of seven tests; a card is worth as much as its worst one."""

    DATA = "data"
    MODEL = "model"
    INFRASTRUCTURE = "infrastructure"
    MONITORING = "monitoring"


class RubricTest(BaseModel):
    """One of the 28 tests.

    Attributes:
      id: its name here.
      section: the section that it counts in.
      test: what it is about.
      proofs: tests of Conveyor that show what it does about that for every pipeline, as pytest names them.
      most: the points that these are worth.
      next: what to do in a pipeline where it is not proved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    section: Section
    test: str
    proofs: tuple[str, ...]
    most: float = 1.0
    next: str


def rubric() -> tuple[RubricTest, ...]:
    """The 28 tests, section by section."""
    return tuple(RubricTest.model_validate(each) for each in yaml.safe_load(_FILE.read_text(encoding="utf-8")))


def meaning(score: float) -> str:
    """What a score says, by table III of the paper."""
    if score > 5:
        return "exceptional levels of automated testing and monitoring"
    if score > 3:
        return "strong levels of automated testing and monitoring, as mission-critical systems need them"
    if score > 2:
        return "reasonably tested; more of it may be automated"
    if score > 1:
        return "a first pass at what production needs; more is to be invested"
    if score > 0:
        return "not wholly untested, but there may be serious holes"
    return "more of a research project than a system for production"
