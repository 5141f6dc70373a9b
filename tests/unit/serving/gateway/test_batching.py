"""Rows of concurrent requests in one call, and what a bad one does to the others."""

from __future__ import annotations

import asyncio

import pytest

from serving.client import ModelFeature, Prediction
from serving.errors import FeatureError, ServingError
from serving.gateway.batching import RequestBatcher
from tests.fakes.clockwork import run
from tests.unit.serving.gateway.conftest import ROW, predict

FEATURES = {"number": ModelFeature("number", "DT_INT64")}


class Model:
    """Answers rows after a while, and remembers how many came in each call."""

    def __init__(self, seconds=0.02):
        self.seconds, self.calls, self.most = seconds, [], 0
        self._under_way = 0

    async def __call__(self, rows, features):
        self.calls.append(len(rows))
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self.seconds)
        self._under_way -= 1
        if any(row.get("bad") for row in rows):
            raise FeatureError("bad")
        if any(row.get("broken") for row in rows):
            raise ServingError("broken")
        return [Prediction("flights", 1, 0.0, value=row["number"]) for row in rows]


def ask_together(model, requests, max_rows=8, max_wait=1.0):
    """The values that each of some concurrent requests got, or the error."""

    async def ask():
        batcher = RequestBatcher(model, max_rows, max_wait)
        return await asyncio.gather(*(batcher.submit(rows, FEATURES) for rows in requests), return_exceptions=True)

    return [answer if isinstance(answer, Exception) else [each.value for each in answer] for answer in run(ask())]


def singles(count):
    return [[{"number": number}] for number in range(count)]


def test_a_lone_request_goes_at_once():
    model = Model(0.0)

    async def ask():
        started = asyncio.get_running_loop().time()
        await RequestBatcher(model, 8, 10.0).submit([{"number": 1}], FEATURES)
        return asyncio.get_running_loop().time() - started

    assert run(ask()) == 0.0


def test_requests_at_the_same_time_share_calls_and_each_gets_its_own_answer():
    model = Model()

    assert ask_together(model, singles(20)) == [[number] for number in range(20)]
    assert model.calls == [1, 8, 8, 3]


def test_a_call_never_gets_too_large():
    model = Model()
    requests = [[{"number": start + step} for step in range(3)] for start in range(0, 30, 3)]

    assert ask_together(model, requests) == [[row["number"] for row in rows] for rows in requests]
    assert max(model.calls) <= 8


def test_a_large_request_is_a_call_of_its_own():
    model = Model()

    answers = ask_together(model, [[{"number": number} for number in range(50)], [{"number": 1}]])

    assert answers == [list(range(50)), [1]]
    assert sorted(model.calls) == [1, 50]


def test_nobody_waits_longer_than_they_may():
    model = Model(0.5)

    ask_together(model, singles(5), max_wait=0.01)

    assert model.calls == [1, 4]
    assert model.most == 2


def test_a_size_of_one_turns_it_off():
    model = Model()

    ask_together(model, singles(5), max_rows=1)

    assert model.calls == [1] * 5


def test_a_bad_row_spoils_its_own_request_alone():
    requests = [*singles(4), [{"number": 4, "bad": True}], [{"number": 5}]]

    answers = ask_together(Model(), requests)

    assert isinstance(answers[4], FeatureError)
    assert [answer for answer in answers if isinstance(answer, list)] == [[0], [1], [2], [3], [5]]


def test_a_failure_of_the_server_is_everybodys():
    answers = ask_together(Model(), [*singles(3), [{"number": 3, "broken": True}]])

    assert answers[0] == [0]
    assert {type(answer) for answer in answers[1:]} == {ServingError}


def test_a_caller_that_goes_away_takes_nobody_along():
    model = Model()

    async def ask():
        batcher = RequestBatcher(model, 8, 1.0)
        tasks = [asyncio.create_task(batcher.submit(rows, FEATURES)) for rows in singles(4)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(ask())

    assert isinstance(answers[2], asyncio.CancelledError)
    assert [answer[0].value for answer in answers if isinstance(answer, list)] == [0, 1, 3]


@pytest.mark.parametrize(("max_rows", "shared"), [(64, True), (1, False)])
def test_the_gateway_does_it_as_its_settings_say(start, server, max_rows, shared):
    from concurrent.futures import ThreadPoolExecutor

    server.seconds = 0.05
    with start(batching={"max_rows": max_rows, "max_wait_ms": 1000}) as gateway, ThreadPoolExecutor(16) as threads:
        assert {response.status_code for response in threads.map(lambda _: predict(gateway, ROW), range(64))} == {200}

    calls = server.calls.count("predict")
    assert calls < 64 if shared else calls == 64


def test_rows_that_are_encoded_for_other_features_are_another_call():
    model = Model()
    others = {"number": ModelFeature("number", "DT_FLOAT")}

    async def ask():
        batcher = RequestBatcher(model, 8, 1.0)
        requests = [(rows, others if rows[0]["number"] > 3 else FEATURES) for rows in singles(6)]
        return await asyncio.gather(*(batcher.submit(*request) for request in requests))

    assert [answer[0].value for answer in run(ask())] == list(range(6))
    assert model.calls == [1, 3, 2]
