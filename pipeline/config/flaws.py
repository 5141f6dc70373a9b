"""What is wrong with a configuration: each flaw with the field it is in, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import AfterValidator

from pipeline.errors import ConfigError, ConveyorError


@dataclass(frozen=True)
class Flaw:
    """A value that a configuration cannot have.

    Attributes:
      what: one sentence: what is wrong.
      field: the way to the value: names of fields and, in lists, positions; relative to the section that reports it.
      expected: what would have been right.
      seen: what was found; when empty, the value itself.
      fix: what to do.
      where: the place of the fault where that is in a file of its own, such as a line of the data.
      kind: the class of the error if nothing else is wrong: what decides the exit code.
    """

    what: str
    field: tuple[str | int, ...] = ()
    expected: str = ""
    seen: str = ""
    fix: str = ""
    where: str = ""
    kind: type[ConveyorError] = ConfigError


class FlawedError(ValueError):
    """One or more flaws, raised by a validator of the configuration: pydantic passes it on with the place of the section."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__(" ".join(flaw.what for flaw in flaws))
        self.flaws = flaws


def checked_by(check: Callable[[str], object]) -> AfterValidator:
    """A validator that has a text checked by a function that raises ConveyorErrors, as much code outside of models does."""

    def validate(text: str) -> str:
        try:
            check(text)
        except ConveyorError as error:
            raise FlawedError(Flaw(error.what, expected=error.expected, seen=error.seen, fix=error.fix)) from error
        return text

    return AfterValidator(validate)
