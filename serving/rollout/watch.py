"""A rollout that goes on by itself: judged again and again, and taken to its next step or ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pipeline.errors import ConveyorError, UsageError
from serving.rollout.controller import Rollout
from serving.rollout.state import RolloutState
from serving.rollout.verdict import CanaryVerdict, Outcome

_AWAY_SECONDS = 300.0
"""How long gateways or the cluster may be away, as while they restart, before nobody can judge the canary."""

Judged = tuple[RolloutState, CanaryVerdict]


class Watch:
    """Waits for verdicts on the canary. All that counts is in the rollout's state: another one can go on at any time.

    Args:
      rollout: the rollout.
      seconds: how long a canary without a plan must have had its share of the traffic before it can pass.
      every: seconds between two looks.
      tell: gets messages for the person.
    """

    def __init__(self, rollout: Rollout, seconds: float, every: float, tell: Callable[[str], None]) -> None:
        self._rollout, self._seconds, self._every, self._tell = rollout, seconds, every, tell
        self._told = ""
        self._answered = -math.inf

    def follow(self, changed: Callable[[RolloutState], None]) -> Judged:
        """Takes the canary through the steps of its plan, until it has passed the last one or failed.

        Args:
          changed: gets the state after each step.

        Returns:
          The state at the end, and the verdict: PASS or FAIL.

        Raises:
          ConveyorError: there is no canary (any more), no gateway answers, or a step cannot be taken.
        """
        while True:
            state, verdict = self.wait()
            if verdict.outcome is Outcome.FAIL or state.next_step is None:
                return state, verdict
            changed(self._rollout.promote(f"verdict {verdict.reason}", traffic=state.next_step, judged=state))

    def wait(self) -> Judged:
        """The state and the verdict when the canary has failed, or has passed and has had its share for long enough.

        Raises:
          ConveyorError: there is no canary (any more), or the state cannot be read or no gateway answers, from the beginning or
            for minutes.
        """
        while True:
            try:
                found = self._rollout.status()
            except ConveyorError as error:
                if not self._is_patient:
                    raise
                self._say(f"how it stands is not known at the moment: {error.what}")
                time.sleep(self._every)
                continue
            state, verdict = found.state, found.verdict
            if state.canary is None:
                raise UsageError(
                    "There is no canary to watch" + (" any more." if self._told else "."),
                    seen=str(state),
                    fix="Start one: conveyor rollout start VERSION --traffic PERCENT",
                )
            if verdict is not None:
                self._answered = time.monotonic()
            elif self._is_patient:
                self._say("no gateway answers at the moment")
                time.sleep(self._every)
                continue
            else:
                raise UsageError(
                    "No gateway answers, so the canary cannot be judged.",
                    expected="the metrics of a gateway, which divides the traffic",
                    fix="Start one with conveyor gateway, or name another with --gateway URL.",
                )
            left = self._left(state)
            if verdict.outcome is Outcome.FAIL or (verdict.outcome is Outcome.PASS and left <= 0 and not state.paused):
                return state, verdict
            self._say(verdict.reason if verdict.outcome is not Outcome.PASS else _waits_for(state, left))
            time.sleep(self._every)

    @property
    def _is_patient(self) -> bool:
        return time.monotonic() - self._answered < _AWAY_SECONDS

    def _left(self, state: RolloutState) -> float:
        """The seconds for which the canary has yet to have its share of the traffic."""
        began = state.step_began
        seconds = self._seconds if state.plan is None else state.plan.bake_seconds
        return began.timestamp() + seconds - time.time() if began else 0.0

    def _say(self, news: str) -> None:
        if news != self._told:
            self._told = news
            self._tell(f"{time.strftime('%H:%M:%S')}  {news}")


def _waits_for(state: RolloutState, left: float) -> str:
    if state.paused:
        return "pass so far; it is paused: conveyor rollout resume"
    return f"pass so far; it has to run for {left / 60:.0f} more minutes"
