"""The model of a run's time, against a run that was recorded."""

# kfp reads the annotations of component functions as objects, so no postponed evaluation here.
from datetime import datetime

import pytest
from kfp import dsl

from tests.fakes.kfp_records import record
from tests.unit.walker.packages import compiled, say, tell
from tests.walker import Attempt, Package, Run, State, TaskResult
from tests.walker.timing import LAUNCHER, Waits, modelled

# What the main containers of the recorded run worked, in its order; the Trainer's first attempt was killed.
WORKED = {"say": [15.0], "say-2": [31.0, 84.0], "say-3": [28.0], "tell": [12.0]}
BACKOFF = 30.0


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def chain() -> None:
    with dsl.ExitHandler(tell()):
        prepare = say(word="prepare")
        train = say(word="train").after(prepare)
        say(word="judge").after(train)


def walked(worked: dict[str, list[float]]) -> Run:
    def result(seconds: list[float]) -> TaskResult:
        return TaskResult(State.SUCCEEDED, tuple(Attempt(0, "", 0.0, each - LAUNCHER) for each in seconds))

    return Run("run", State.SUCCEEDED, {name: result(seconds) for name, seconds in worked.items()})


def test_a_recorded_run_takes_as_long_as_it_took() -> None:
    found = record("refused").run
    took = (moment(found["finished_at"]) - moment(found["created_at"])).total_seconds()

    spans = modelled(Package.parse(compiled(chain)), walked(WORKED), Waits.recorded("refused"))

    assert spans[-1].end + BACKOFF == pytest.approx(took, rel=0.02)


def test_tasks_that_do_not_wait_for_each_other_run_side_by_side() -> None:
    def fork() -> None:
        with dsl.ExitHandler(tell()):
            first = say(word="first")
            say(word="left").after(first)
            say(word="right").after(first)

    spans = modelled(
        Package.parse(compiled(fork)),
        walked({"say": [10.0], "say-2": [20.0], "say-3": [30.0], "tell": [10.0]}),
        Waits(root=9, driver=6, start=3, end=5),
    )

    assert [(span.task, span.begin, span.end) for span in spans] == [
        ("say", 15.0, 39.0),
        ("say-2", 39.0, 73.0),
        ("say-3", 39.0, 83.0),
        ("tell", 83.0, 107.0),
    ]


def test_argo_that_looks_more_often_waits_less() -> None:
    often, seldom = Waits.recorded("refused"), Waits.recorded("complete")

    assert often.driver < seldom.driver
    assert often.end < seldom.end
    assert often.start == pytest.approx(seldom.start, abs=0.5)
