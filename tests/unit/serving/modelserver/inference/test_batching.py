"""Requests that come at the same time run as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from serving.modelserver.inference.batching import BatchParameters, BatchScheduler
from serving.modelserver.status import StatusError, invalid_argument
from tests.fakes.waiting import PATIENCE, wait_until


class Model:
    """Doubles x; remembers the batches, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.runs = 0
        self.hold = Event()
        self.hold.set()

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], deadline: float | None) -> list[np.ndarray]:
        self.runs += 1
        assert self.hold.wait(PATIENCE)
        self.batches.append(feeds["x"].ravel().tolist())
        if -1 in feeds["x"]:
            raise invalid_argument("no negative numbers")
        return [feeds["x"] * 2 for _ in fetches]


class Scheduler(BatchScheduler):
    """Remembers how many requests came: they wait, or were refused."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.came: list[None] = []

    def _enqueue(self, *arguments: Any) -> Any:
        try:
            return super()._enqueue(*arguments)
        finally:
            self.came.append(None)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def scheduler() -> Scheduler:
    """One that runs a single batch at once."""
    return Scheduler(1)


@pytest.fixture
def ask(model: Model, scheduler: Scheduler) -> Callable[..., Callable[..., list]]:
    """Makes, for batching parameters, what asks the model for numbers."""

    def make(**parameters) -> Callable[..., list]:
        run = scheduler.wrap(model.run, BatchParameters(**parameters))

        def asked(*x: float, deadline: float | None = None) -> list:
            return run({"x": np.array(x, np.float32)}, ["y"], deadline)[0].tolist()

        return asked

    return make


def at_once(model: Model, scheduler: Scheduler, first: Callable[[], list], *others: Callable[[], list]) -> list:
    """The answers to requests that are made while the model is held up by the first, so that the others wait together."""
    model.hold.clear()
    with ThreadPoolExecutor(len(others) + 1) as threads:
        answers = [threads.submit(first)]
        wait_until(lambda: model.runs == 1, "a run")
        answers += [threads.submit(other) for other in others]
        wait_until(lambda: len(scheduler.came) == len(answers), "all requests")
        model.hold.set()
        return [answer.exception() or answer.result() for answer in answers]


def numbers(ask: Callable[..., list], *requests: Sequence[float]) -> list[Callable[[], list]]:
    """A request for 0, and others."""
    return [partial(ask, *request) for request in ([0.0], *requests)]


def test_requests_that_wait_together_run_together(model: Model, scheduler: Scheduler, ask) -> None:
    answers = at_once(model, scheduler, *numbers(ask(), [1.0], [2.0, 3.0], [4.0]))

    assert answers == [[0.0], [2.0], [4.0, 6.0], [8.0]]
    assert model.batches[0] == [0.0]
    assert sorted(model.batches[1]) == [1.0, 2.0, 3.0, 4.0]


def test_a_batch_is_no_larger_than_it_may_be(model: Model, scheduler: Scheduler, ask) -> None:
    at_once(model, scheduler, *numbers(ask(max_batch_size=2), *([float(x)] for x in range(1, 6))))

    assert [len(batch) for batch in model.batches] == [1, 2, 2, 1]


def test_a_request_waits_for_others_as_long_as_it_is_told(model: Model, ask) -> None:
    started = time.monotonic()

    assert ask(batch_timeout_micros=200_000)(1.0) == [2.0]
    assert time.monotonic() - started >= 0.2


def test_a_full_batch_does_not_wait(model: Model, scheduler: Scheduler, ask) -> None:
    asked = ask(batch_timeout_micros=1_000_000_000, max_batch_size=2)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(asked, 1.0)
        wait_until(lambda: len(scheduler.came) == 1, "the first request")
        second = threads.submit(asked, 2.0)

        assert (first.result(PATIENCE), second.result(PATIENCE)) == ([2.0], [4.0])

    assert model.batches == [[1.0, 2.0]]


def test_batches_are_filled_up_to_an_allowed_size(model: Model, ask) -> None:
    assert ask(max_batch_size=4, allowed_batch_sizes=(2, 4))(1.0, 2.0, 3.0) == [2.0, 4.0, 6.0]
    assert model.batches == [[1.0, 2.0, 3.0, 1.0]]


def test_a_request_that_is_too_large_is_refused_or_split(model: Model, ask) -> None:
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
        ask(max_batch_size=2)(1.0, 2.0, 3.0)

    split = ask(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    assert split(1.0, 2.0, 3.0, 4.0, 5.0) == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert max(map(len, model.batches)) == 2


def test_a_request_that_fails_does_not_spoil_the_others(model: Model, scheduler: Scheduler, ask) -> None:
    _, good, bad, other = at_once(model, scheduler, *numbers(ask(), [1.0], [-1.0], [2.0]))

    assert (good, other) == ([2.0], [4.0])
    assert str(bad) == "INVALID_ARGUMENT: no negative numbers"


def test_beyond_the_queue_requests_are_refused(model: Model, scheduler: Scheduler, ask) -> None:
    asked = ask(max_batch_size=1, max_enqueued_batches=2)
    answers = at_once(model, scheduler, *numbers(asked, *([float(x)] for x in range(1, 6))))

    refused = [answer for answer in answers if isinstance(answer, StatusError)]
    assert len(refused) == 3
    assert str(refused[0]) == "UNAVAILABLE: The batch scheduling queue to which this task was submitted is full"


def test_a_deadline_that_passes_in_the_queue(model: Model, ask) -> None:
    asked = ask(batch_timeout_micros=1_000_000_000)

    with pytest.raises(StatusError, match="DEADLINE_EXCEEDED"):
        asked(1.0, deadline=time.monotonic() + 0.05)


def test_rows_of_different_lengths_share_a_batch_if_they_are_padded(model: Model, scheduler: Scheduler) -> None:
    run = scheduler.wrap(model.run, BatchParameters(pad_variable_length_inputs=True))
    rows = ([[0.0]], [[1.0]], [[2.0, 3.0]])

    answers = at_once(model, scheduler, *(partial(run, {"x": np.array(row, np.float32)}, ["y"], None) for row in rows))

    assert [answer[0].tolist() for answer in answers] == [[[0.0]], [[2.0, 0.0]], [[4.0, 6.0]]]
    assert len(model.batches) == 2


def test_parameters_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 500 } allowed_batch_sizes: 8 allowed_batch_sizes: 64 "
        'num_batch_threads { value: 3 } pad_variable_length_inputs: true thread_pool_name { value: "x" }'
    )

    parameters = BatchParameters.from_file(file)

    assert (parameters.max_batch_size, parameters.batch_timeout_micros, parameters.num_batch_threads) == (64, 500, 3)
    assert parameters.allowed_batch_sizes == (8, 64)
    assert parameters.pad_variable_length_inputs
    assert parameters.max_enqueued_batches == 10


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must not be negative; was -1"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches must be at least 1; was 0"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "allowed_batch_sizes must increase and end with 4; were [2]"),
        ("max_batch_size: 4", "Expected"),
        ("batch { value: 4 }", "no field named"),
    ],
)
def test_parameters_that_are_wrong_are_told(tmp_path: Path, text: str, seen: str) -> None:
    file = tmp_path / "batching.config"
    file.write_text(text)

    with pytest.raises(ConfigError) as failed:
        BatchParameters.from_file(file)

    assert failed.value.where == str(file)
    assert seen in failed.value.seen
