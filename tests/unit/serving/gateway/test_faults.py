"""A model server that is slow, gone, or fails."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.fakes.model_server import ModelServer, RefusalError
from tests.fakes.waiting import PATIENCE, wait_until
from tests.unit.serving.gateway.conftest import ROW, predict, sample

FAILED = 'gateway_predictions_total{model="flights",outcome="error",version="3"}'


def test_a_slow_server_meets_the_deadline(start, server):
    with start(timeout_seconds=0.3) as gateway:
        # Also what it asks when it starts has this deadline.
        wait_until(lambda: gateway.get("/readyz").status_code == 200)
        server.seconds = 2 * PATIENCE
        started = time.monotonic()
        response = predict(gateway, ROW)

        assert response.status_code == 504
        assert time.monotonic() - started < PATIENCE
        assert response.json()["detail"] == "The model did not answer in time."
        assert sample(gateway, FAILED) == 1


def test_a_server_that_is_gone_and_comes_back(gateway, server):
    server.stop()
    response = predict(gateway, ROW, ROW)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert sample(gateway, FAILED) == 2

    again = ModelServer(grpc_port=server.grpc_port)
    try:
        assert predict(gateway, ROW).status_code == 200
    finally:
        again.stop()


def test_a_server_that_ends_in_mid_request(gateway, server):
    server.seconds = PATIENCE
    with ThreadPoolExecutor(4) as threads:
        responses = [threads.submit(predict, gateway, ROW) for _ in range(4)]
        wait_until(lambda: "predict" in server.calls, "a request")
        server.stop()

        assert {response.result().status_code for response in responses} == {503}


@pytest.mark.parametrize(
    ("code", "status"),
    [(grpc.StatusCode.INTERNAL, 502), (grpc.StatusCode.UNIMPLEMENTED, 502), (grpc.StatusCode.INVALID_ARGUMENT, 422)],
)
def test_a_server_that_fails(gateway, server, code, status):
    server.faults.extend([RefusalError(code, "inside information"), RefusalError(code, "inside information")])

    response = predict(gateway, ROW)

    assert response.status_code == status
    assert (response.status_code == 422) == ("inside information" in response.text)


def test_a_model_that_is_not_served_any_more(gateway, server):
    server.versions = {3: "END"}

    assert predict(gateway, ROW).status_code == 503


def test_a_thousand_requests_at_once(start, server):
    with start() as gateway, ThreadPoolExecutor(100) as threads:
        statuses = [response.status_code for response in threads.map(lambda _: predict(gateway, ROW), range(1000))]

    assert statuses == [200] * 1000
    assert server.calls.count("predict") < 1000
