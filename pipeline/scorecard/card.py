"""The card: points by test, sums by section, and the score, which is the least of the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.scorecard.rubric import RubricTest, Section, meaning


@dataclass(frozen=True)
class Evidence:
    """What is shown for a test.

    Attributes:
      points: 1 for what runs by itself and again and again, 0.5 for what a person has done and written down, 0 for nothing.
      shown: what shows it; for nothing, why not, or empty.
    """

    points: float
    shown: str


NOTHING = Evidence(0.0, "")


@dataclass(frozen=True)
class Line:
    """A test with what is shown for it."""

    test: RubricTest
    evidence: Evidence


@dataclass(frozen=True)
class Card:
    """All tests, each with its evidence.

    Attributes:
      name: whose card it is.
      lines: in the order of the rubric.
    """

    name: str
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, name: str, tests: Sequence[RubricTest], evidence: Mapping[str, Evidence]) -> Card:
        """The card of what is shown, by the tests' ids; what is not there is not shown."""
        return cls(name, tuple(Line(test, evidence.get(test.id, NOTHING)) for test in tests))

    @property
    def sums(self) -> dict[Section, float]:
        """The points of each section, 7 at most."""
        return {
            section: sum(line.evidence.points for line in self.lines if line.test.section is section) for section in Section
        }

    @property
    def score(self) -> float:
        """The ML Test Score: the least of the sums."""
        return min(self.sums.values())

    def document(self) -> dict[str, Any]:
        """The card as JSON."""
        return {
            "name": self.name,
            "score": self.score,
            "meaning": meaning(self.score),
            "sections": {section.value: total for section, total in self.sums.items()},
            "tests": [
                {
                    "id": line.test.id,
                    "section": line.test.section.value,
                    "test": line.test.test,
                    **asdict(line.evidence),
                    "next": line.test.next if line.evidence.points < 1 else "",
                }
                for line in self.lines
            ],
        }
