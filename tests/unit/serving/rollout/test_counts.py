"""Counting what versions did, from the pages of gateways."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serving.client import Prediction
from serving.gateway.metrics import GatewayMetrics
from serving.rollout.counts import Counts, count, follows, read_metrics, read_page, started


def prediction(version: int, score: float = 0.3, model: str = "flights") -> Prediction:
    label = "late" if score > 0.5 else "in time"
    return Prediction(model=model, version=version, latency=0.01, label=label, probabilities=(1 - score, score), score=score)


class Gateway:
    """A gateway's metrics, as the gateway itself counts them."""

    def __init__(self) -> None:
        self.metrics = GatewayMetrics()

    def answers(self, rows: int, version: int, score: float = 0.3, model: str = "flights") -> None:
        self.metrics.count([prediction(version, score, model)] * rows)
        self.metrics.prediction_seconds.labels(model, str(version)).observe(0.004)

    def fails(self, rows: int, version: int) -> None:
        self.metrics.predictions.labels("flights", str(version), "error").inc(rows)

    def page(self) -> dict[str, float]:
        return read_page(self.metrics.text().decode(), "flights", [6, 7])


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_gateways_own_page_is_understood(gateway: Gateway):
    gateway.answers(3, 7, score=0.3)
    gateway.answers(1, 7, score=0.9)
    gateway.fails(2, 7)
    counts = count({"one": gateway.page()}, None, 7)
    assert (counts.ok, counts.errors, counts.rows) == (4, 2, 6)
    assert counts.error_rate == pytest.approx(1 / 3)
    assert counts.classes == {"in time": 3, "late": 1}
    assert counts.durations[0.002] == 0
    assert counts.durations[0.005] == counts.durations[float("inf")] == 2
    assert counts.scores[0.25] == 0
    assert counts.scores[0.3] == 3
    assert counts.scores[0.9] == 4


def test_regression_counts_by_value(gateway: Gateway):
    gateway.metrics.count([Prediction(model="flights", version=7, latency=0.01, value=20.0)])
    counts = count({"one": gateway.page()}, None, 7)
    assert counts.classes == {}
    assert (counts.scores[10.0], counts.scores[30.0]) == (0, 1)


def test_other_versions_and_models_do_not_count(gateway: Gateway):
    gateway.answers(3, 6)
    gateway.answers(5, 5)
    gateway.answers(7, 7, model="trains")
    assert count({"one": gateway.page()}, None, 6).ok == 3
    assert count({"one": gateway.page()}, None, 7) == Counts()


def test_gateways_are_added_up_from_a_moment_on(gateway: Gateway):
    other = Gateway()
    gateway.answers(100, 6)
    other.answers(50, 6)
    since = {"one": gateway.page(), "two": other.page()}
    gateway.answers(10, 6)
    other.answers(5, 6)
    other.answers(2, 7)
    now = {"one": gateway.page(), "two": other.page()}
    assert count(now, since, 6).ok == 15
    assert count(now, since, 7).ok == 2
    assert count(now, since, 6).durations[float("inf")] == 2


def test_a_gateway_that_was_started_anew_counts_from_zero(gateway: Gateway):
    gateway.answers(100, 6)
    since = {"one": gateway.page()}
    again = Gateway()
    again.answers(3, 6)
    assert count({"one": again.page()}, since, 6).ok == 3


def test_a_gateway_without_counts_for_a_version_was_started_anew_too(gateway: Gateway):
    gateway.answers(100, 6)
    assert count({"one": Gateway().page()}, {"one": gateway.page()}, 6) == Counts()


def test_gateways_that_came_or_went_since(gateway: Gateway):
    gateway.answers(100, 6)
    since = {"gone": gateway.page()}
    new = Gateway()
    new.answers(4, 6)
    assert count({"new": new.page()}, since, 6).ok == 4


def test_the_share_of_the_canary(gateway: Gateway):
    gateway.metrics.canary_percent.set(25)
    page = gateway.metrics.text().decode()
    assert follows(page, 25, shadow=False)
    assert not follows(page, 10, shadow=False)
    assert not follows("", 0, shadow=False)


def test_whether_the_canary_is_a_shadow(gateway: Gateway):
    gateway.metrics.canary_is_shadow.set(1)
    page = gateway.metrics.text().decode()
    assert follows(page, 0, shadow=True)
    assert not follows(page, 0, shadow=False)
    # A gateway of an earlier release has no such gauge.
    assert follows("gateway_canary_traffic_percent 0.0\n", 0, shadow=False)
    assert not follows("gateway_canary_traffic_percent 0.0\n", 0, shadow=True)


def test_a_shadow_is_counted_apart(gateway: Gateway):
    shadow = gateway.metrics.shadow
    gateway.answers(3, 7)
    answers = [prediction(7, 0.9), prediction(7, 0.3), prediction(7, 0.2)]
    shadow.count(answers)
    shadow.compare(answers, [prediction(6, 0.3), prediction(6, 0.4), prediction(6, 0.1)])
    shadow.predictions.labels("flights", "7", "error").inc(2)
    counted = count({"one": gateway.page()}, None, 7, shadow=True)
    assert (counted.ok, counted.errors, counted.same, counted.other) == (3, 2, 2, 1)
    assert counted.classes == {"in time": 2, "late": 1}
    assert counted.scores[0.3] == 2
    assert count({"one": gateway.page()}, None, 7).rows == 3


def test_a_shadow_that_always_agrees_has_a_share_of_other_answers(gateway: Gateway):
    gateway.metrics.shadow.compare([prediction(7, 0.9)], [prediction(6, 0.9)])
    assert gateway.page()["gateway_shadow_agreement_total|7|other"] == 0


def test_numbers_agree_in_the_same_bucket(gateway: Gateway):
    def number(value: float) -> Prediction:
        return Prediction(model="flights", version=7, latency=0.01, value=value)

    gateway.metrics.shadow.compare([number(20), number(31), number(-5)], [number(11), number(29), number(5)])
    counted = count({"one": gateway.page()}, None, 7, shadow=True)
    assert (counted.same, counted.other) == (1, 2)


@pytest.fixture
def address():
    """Of an HTTP server that has a page /metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path.endswith("/metrics") else 404)
            self.end_headers()
            self.wfile.write(b"gateway_canary_traffic_percent 5.0\n" if self.path == "/metrics" else b"<html>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_pages_are_read_over_http(address: str):
    assert follows(read_metrics(f"{address}/"), 5, shadow=False)


def test_a_gateway_that_does_not_answer_has_no_page():
    assert read_metrics("http://127.0.0.1:9") == ""
    assert read_metrics("no address") == ""


def test_what_is_no_gateway_has_no_page(address: str):
    assert read_metrics(f"{address}/other") == ""


def test_a_proxy_for_what_is_outside_is_not_asked(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read_metrics(address)


def test_a_page_says_when_it_began(gateway: Gateway):
    assert started(gateway.metrics.text().decode()) == pytest.approx(time.time(), abs=60)
    assert started("gateway_canary_traffic_percent 5.0\n") is None
