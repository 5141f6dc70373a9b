"""When a model would have been retrained, and on which spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.errors import UsageError
from pipeline.util.suggestions import did_you_mean

ALL = "all"


class Trigger(str, Enum):
    """What makes a policy train a new model before a span."""

    NEVER = "never"
    EVERY = "every"
    DRIFT = "drift"
    DECAY = "decay"


_WORDS = {
    Trigger.NEVER: "never retrained",
    Trigger.EVERY: "every span",
    Trigger.DRIFT: "on drift",
    Trigger.DECAY: "on decay",
}


@dataclass(frozen=True)
class Policy:
    """When to retrain, and on how much history.

    Attributes:
      trigger: what makes it retrain.
      window: how many spans before the next one it trains on; None for all.
    """

    trigger: Trigger
    window: int | None = None

    def __str__(self) -> str:
        if self.trigger is Trigger.NEVER:
            return _WORDS[self.trigger]
        return f"{_WORDS[self.trigger]}, {window_words(self.window)}"


def window_words(window: int | None) -> str:
    """A window in words."""
    return "all spans" if window is None else f"{window} spans" if window > 1 else "1 span"


def policies(triggers: str, windows: str) -> tuple[Policy, ...]:
    """The policies to play: each trigger with each window, the longest window first.

    A model that is never retrained is played once, with the longest window.

    Args:
      triggers: names with commas between them.
      windows: numbers of spans, or `all`, with commas between them.

    Raises:
      UsageError: a name or a number is none, or nothing is named.
    """
    chosen = [_trigger(each) for each in _parts(triggers)]
    lengths = sorted({_window(each) for each in _parts(windows)}, key=lambda each: -(each or 2**63))
    if not chosen or not lengths:
        raise UsageError(
            "There is no policy to play.",
            where="--policies and --windows",
            expected="at least one of each",
            seen=f"--policies {triggers!r}, --windows {windows!r}",
            fix="Leave both out, for all policies.",
        )
    return tuple(
        Policy(trigger, window)
        for trigger in Trigger
        if trigger in chosen
        for window in (lengths if trigger is not Trigger.NEVER else lengths[:1])
    )


def training_spans(spans: Sequence[int], judged: int, window: int | None) -> tuple[int, ...]:
    """The spans that a model is trained on before a span comes: the newest before it.

    Args:
      spans: all spans, oldest first.
      judged: the span that comes.
      window: how many; None for all.
    """
    before = [each for each in spans if each < judged]
    return tuple(before if window is None else before[-window:])


def _parts(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _trigger(name: str) -> Trigger:
    names = [each.value for each in Trigger]
    if name not in names:
        raise UsageError(
            f"There is no policy {name!r}.",
            where="--policies",
            expected=", ".join(names),
            seen=name,
            fix=did_you_mean(name, names) or "Name one of these, with commas between several.",
        )
    return Trigger(name)


def _window(text: str) -> int | None:
    if text == ALL:
        return None
    if not text.isdecimal() or not int(text):
        raise UsageError(
            f"{text!r} is no window.",
            where="--windows",
            expected="numbers of spans from 1 on, or all, with commas between them",
            seen=text,
            fix="Write, for example, --windows 3,6,all",
        )
    return int(text)
