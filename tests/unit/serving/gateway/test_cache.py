"""Predictions that are kept in the process."""

from __future__ import annotations

import pytest

from tests.fakes.waiting import wait_until
from tests.unit.serving.gateway.conftest import ROW, predict, sample


def test_a_row_is_asked_once(start, server):
    with start(cache={"rows": 10}) as gateway:
        first = predict(gateway, ROW).json()["predictions"]
        second = predict(gateway, ROW).json()["predictions"]

        assert first == second
        assert server.calls.count("predict") == 1
        assert sample(gateway, "gateway_cache_hits_total") == 1
        assert sample(gateway, "gateway_cache_misses_total") == 1
        assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 2


def test_equal_rows_are_equal_however_they_are_written(start, server):
    with start(cache={"rows": 10}) as gateway:
        predict(gateway, {"carrier": "UA", "distance": 5, "departure": "1970-01-01T00:01:00Z"})
        predict(gateway, {"departure": 60, "distance": 5.0, "carrier": "UA"})
        predict(gateway, {"departure": "1970-01-01T01:01:00+01:00", "distance": 5, "carrier": "UA"})

    assert server.calls.count("predict") == 1


def test_only_what_is_missing_is_asked(start, server):
    rows = [{"carrier": "UA", "distance": float(distance)} for distance in range(1, 6)]
    with start(cache={"rows": 10}) as gateway:
        predict(gateway, rows[1], rows[3])
        answers = predict(gateway, *rows).json()["predictions"]

    assert server.received[-1]["distance"] == [1.0, 3.0, 5.0]
    assert [answer["score"] for answer in answers] == sorted(answer["score"] for answer in answers)


def test_the_oldest_rows_make_room(start, server):
    rows = [{"carrier": "UA", "distance": float(distance)} for distance in range(1, 4)]
    with start(cache={"rows": 2}) as gateway:
        for row in (*rows, rows[2], rows[0]):
            predict(gateway, row)

    assert server.calls.count("predict") == 4


def test_a_new_version_has_not_answered_yet(start, server):
    with start(cache={"rows": 10}) as gateway:
        assert predict(gateway, ROW).json()["predictions"][0]["model_version"] == 3
        server.versions = {3: "AVAILABLE", 4: "AVAILABLE"}
        wait_until(lambda: predict(gateway, ROW).json()["predictions"][0]["model_version"] == 4, "an answer of the new version")


@pytest.mark.parametrize("before", ["a1", ""])
def test_a_version_that_is_made_anew_never_answers_with_the_old_ones_predictions(start, server, before):
    server.digest = before
    with start(cache={"rows": 10}) as gateway:
        assert predict(gateway, ROW).json()["predictions"][0]["score"] != 0.75
        server.digest, server.model = "b2", lambda _: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}
        wait_until(lambda: predict(gateway, ROW).json()["predictions"][0]["score"] == 0.75, "an answer of the new model")
        # A rollout counts what this model does, not what the one before did.
        assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 1
        (answer,) = predict(gateway, ROW).json()["predictions"]
        assert (answer["model_version"], answer["score"]) == (3, 0.75)
        assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 2


def test_stable_and_canary_do_not_share_answers(start, server, rollout):
    server.versions, server.labels = {3: "AVAILABLE", 4: "AVAILABLE"}, {"stable": 3, "canary": 4}
    rollout(stable=3, canary=4, traffic=50)
    with start(cache={"rows": 10}) as gateway:
        for number in range(50):
            answered = predict(gateway, ROW, **{"X-Request-ID": f"order-{number}"}).json()["predictions"][0]["model_version"]
            assert answered in (3, 4)

    assert server.calls.count("predict") == 2


def test_a_failure_is_not_kept(start, server):
    with start(cache={"rows": 10}) as gateway:
        server.versions = {3: "END"}
        assert predict(gateway, ROW).status_code == 503
        server.versions = {3: "AVAILABLE"}
        assert predict(gateway, ROW).status_code == 200
