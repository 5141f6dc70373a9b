"""A shadow: it is asked what callers ask, and they notice nothing of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest

from serving.gateway import shadow as shadows
from tests.fakes.model_server import ModelServer, RefusalError, classify
from tests.fakes.waiting import PATIENCE, wait_until
from tests.unit.serving.gateway.conftest import ROW, Client, Start, predict, sample

ANSWERED = 'gateway_shadow_predictions_total{model="flights",outcome="%s",version="4"}'
AGREEMENT = 'gateway_shadow_agreement_total{answer="%s",model="flights",version="4"}'


@pytest.fixture
def candidate(server: ModelServer, rollout: Callable[..., None]) -> Iterator[ModelServer]:
    """A model server of its own for version 4, the shadow; version 3 answers callers."""
    candidate = ModelServer()
    candidate.versions, candidate.labels = {4: "AVAILABLE"}, {"canary": 4}
    rollout(stable=3, canary=4, shadow=True)
    yield candidate
    candidate.stop()


@pytest.fixture
def upstream(server: ModelServer, candidate: ModelServer) -> dict[str, str]:
    return {"stable": server.address("grpc"), "canary": candidate.address("grpc")}


def otherwise(columns: Any) -> dict[str, list[Any]]:
    """Another class for every row."""
    answer = classify(columns)
    scores = [1 - score for score in answer["score"]]
    probabilities = [share for score in scores for share in (1 - score, score)]
    return {"labels": [int(score > 0.5) for score in scores], "probabilities": probabilities, "score": scores}


def wait_for(gateway: Client, line: str, value: float) -> None:
    wait_until(lambda: sample(gateway, line) >= value, f"{line} {value}")


def versions(gateway: Client, count: int, row: Any = ROW) -> set[int]:
    responses = [predict(gateway, row) for _ in range(count)]
    assert {response.status_code for response in responses} == {200}
    return {response.json()["predictions"][0]["model_version"] for response in responses}


def test_it_is_asked_and_callers_get_the_stable_version(start: Start, upstream: dict[str, str], candidate: ModelServer) -> None:
    candidate.model = otherwise
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 20) == {3}
        wait_for(gateway, ANSWERED % "ok", 20)
        assert sample(gateway, AGREEMENT % "other") == 20
        assert sample(gateway, AGREEMENT % "same") == 0
        assert sample(gateway, "gateway_canary_is_shadow") == 1
        assert sample(gateway, "gateway_canary_traffic_percent") == 0
        # What callers get is counted apart.
        assert 'gateway_predictions_total{model="flights",outcome="ok",version="4"}' not in gateway.get("/metrics").text


def test_the_log_says_which_answers_were_a_shadows(start: Start, upstream: dict[str, str], tmp_path: Path) -> None:
    with start(upstream=upstream, log={"folder": str(tmp_path / "log")}) as gateway:
        body = {"rows": [ROW, ROW], "keys": ["a", "b"]}
        gateway.post("/v1/predict", json=body, headers={"X-Request-ID": "order-1"})
        wait_for(gateway, ANSWERED % "ok", 2)
    rows = [row for path in (tmp_path / "log").glob("*/*.parquet") for row in pq.read_table(path).to_pylist()]
    logged = sorted((row["prediction_shadow"], row["prediction_version"], row["prediction_key"]) for row in rows)
    assert logged == [(False, 3, "a"), (False, 3, "b"), (True, 4, "a"), (True, 4, "b")]
    assert {row["prediction_request_id"] for row in rows} == {"order-1"}


@pytest.mark.parametrize(("limit", "value"), [("QUEUE_ROWS", 3), ("QUEUE_BYTES", 71)])
def test_one_that_hangs_holds_up_nobody_and_what_it_misses_is_counted(
    start: Start, upstream: dict[str, str], candidate: ModelServer, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(shadows, limit, value)
    # A row has 18 bytes: two letters and two numbers.
    answers = threading.Event()

    def hangs(columns: Any) -> dict[str, list[Any]]:
        assert answers.wait(PATIENCE)
        return classify(columns)

    candidate.model = hangs
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 20) == {3}
        # One is under way and three wait; at first, the one under way may have waited, too.
        assert sample(gateway, "gateway_shadow_dropped_total") in (16, 17)
        answers.set()
        wait_for(gateway, ANSWERED % "ok", 3)


def test_one_that_fails_is_counted_and_callers_are_answered(
    start: Start, upstream: dict[str, str], candidate: ModelServer
) -> None:
    def fails(columns: Any) -> dict[str, list[Any]]:
        raise RefusalError(grpc.StatusCode.INTERNAL, "no")

    candidate.model = fails
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 10) == {3}
        wait_for(gateway, ANSWERED % "error", 10)
        assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 10
        assert 'outcome="error",version="3"' not in gateway.get("/metrics").text


def test_what_is_no_number_is_no_answer(start: Start, upstream: dict[str, str], candidate: ModelServer) -> None:
    candidate.model = lambda columns: {**classify(columns), "score": [math.nan]}
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 5) == {3}
        wait_for(gateway, ANSWERED % "error", 5)
        assert sample(gateway, ANSWERED % "ok") == 0


def test_a_request_of_more_rows_than_may_wait_is_asked_when_none_waits(
    start: Start, upstream: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "QUEUE_ROWS", 3)
    with start(upstream=upstream) as gateway:
        assert predict(gateway, *[ROW] * 5).status_code == 200
        wait_for(gateway, ANSWERED % "ok", 5)


def test_one_that_is_not_loaded_yet_has_not_failed(start: Start, server: ModelServer, rollout: Callable[..., None]) -> None:
    rollout(stable=3, canary=4, shadow=True)
    with start() as gateway:
        assert versions(gateway, 5) == {3}
        wait_for(gateway, "gateway_shadow_dropped_total", 5)
        assert 'outcome="error"' not in gateway.get("/metrics").text


def test_what_another_version_answers_does_not_count(start: Start, server: ModelServer, rollout: Callable[..., None]) -> None:
    # The label has moved already, as at the end of a shadow.
    server.labels = {"stable": 3, "canary": 3}
    rollout(stable=3, canary=4, shadow=True)
    with start() as gateway:
        assert versions(gateway, 5) == {3}
        wait_for(gateway, "gateway_shadow_dropped_total", 5)
        assert "gateway_shadow_predictions_total{" not in gateway.get("/metrics").text


def test_one_with_other_features(start: Start, upstream: dict[str, str], server: ModelServer, candidate: ModelServer) -> None:
    candidate.features = {"carrier": "DT_STRING", "wind": "DT_FLOAT"}
    candidate.model = lambda columns: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 5, ROW | {"wind": 7.5}) == {3}
        wait_for(gateway, ANSWERED % "ok", 5)
    assert {frozenset(each) for each in server.received} == {frozenset({"carrier", "departure", "distance"})}
    assert {frozenset(each) for each in candidate.received} == {frozenset({"carrier", "wind"})}


def test_it_becomes_a_canary(start: Start, upstream: dict[str, str], rollout: Callable[..., None]) -> None:
    with start(upstream=upstream) as gateway:
        assert versions(gateway, 5) == {3}
        rollout(stable=3, canary=4, traffic=50)
        wait_until(lambda: versions(gateway, 20) == {3, 4}, "a change of the traffic")
        assert sample(gateway, "gateway_canary_is_shadow") == 0


def test_explanations_cost_too_much_to_ask_twice(start: Start, upstream: dict[str, str], server: ModelServer) -> None:
    with start(upstream=upstream) as gateway:
        gateway.post("/v1/predict?explain=true", json={"rows": [ROW]})
        assert versions(gateway, 1) == {3}
        wait_for(gateway, ANSWERED % "ok", 1)
        assert sample(gateway, ANSWERED % "ok") == 1
