"""A gateway before a model server that speaks TF Serving's protocol and computes in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from pipeline.config import Gateway
from serving.gateway import upstream
from serving.gateway.app import create_app
from tests.fakes.model_server import ModelServer
from tests.fakes.waiting import PATIENCE

SCHEMA = """
feature {
  name: "carrier" type: BYTES domain: "carriers"
  presence { min_fraction: 1.0 } distribution_constraints { min_domain_mass: 1.0 }
}
feature { name: "departure" type: INT time_domain { integer_format: UNIX_SECONDS } }
feature { name: "distance" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 1 max: 6000 } }
string_domain { name: "carriers" value: ["AA", "B6", "UA"] }
"""
ROW = {"carrier": "UA", "departure": "2013-04-01T06:30:00Z", "distance": 1400.0}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.stop()


@pytest.fixture
def rollout(tmp_path: Path) -> Callable[..., None]:
    """Writes the state of a rollout, as `conveyor rollout` does."""

    def _write(**state: Any) -> None:
        partial = tmp_path / "rollout.json.partial"
        partial.write_text(json.dumps(state))
        partial.replace(tmp_path / "rollout.json")

    return _write


@pytest.fixture
def in_mid_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still for counts of requests: at the turn of a minute, a part of the one before is forgotten."""
    monkeypatch.setattr("limits.aio.storage.memory.time", SimpleNamespace(time=lambda: 90.0))


Settings = Callable[..., Gateway]


@pytest.fixture
def settings(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a few fields changed. Nothing is given up because the machine is busy with other things."""
    monkeypatch.setattr(upstream, "_LOOK_SECONDS", PATIENCE)
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)

    def _settings(**fields: Any) -> Gateway:
        defaults: dict[str, Any] = {
            "upstream": {"stable": server.address("grpc")},
            "rollout": str(tmp_path / "rollout.json"),
            "feature_schema": str(tmp_path / "schema.pbtxt"),
            "cache": {"rows": 0},
            "log": {"folder": None},
            "timeout_seconds": PATIENCE,
        }
        return Gateway.model_validate(defaults | fields)

    return _settings


class Client:
    """Calls a gateway that runs in a thread of its own; threads may share it."""

    def __init__(self, portal: BlockingPortal, client: httpx.AsyncClient) -> None:
        self._portal, self._client = portal, client

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.get, path, **arguments))

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.post, path, **arguments))

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.request, method, path, **arguments))


@contextmanager
def running(app: FastAPI) -> Iterator[Client]:
    """An app from its start-up to its end."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        portal.wrap_async_context_manager(httpx.AsyncClient(transport=transport, base_url="http://gateway")) as client,
    ):
        yield Client(portal, client)


Start = Callable[..., AbstractContextManager[Client]]


@pytest.fixture
def start(settings: Settings) -> Start:
    """Makes a gateway that runs within a `with`."""

    def _start(**fields: Any) -> AbstractContextManager[Client]:
        return running(create_app(settings(**fields)))

    return _start


@pytest.fixture
def gateway(start: Start) -> Iterator[Client]:
    """A gateway with the defaults of these tests: no cache, no log, no rollout."""
    with start() as client:
        yield client


def predict(client: Client, *rows: Any, **headers: str) -> Any:
    """The response to rows."""
    return client.post("/v1/predict", json={"rows": rows}, headers=headers)


def sample(client: Client, line: str) -> float:
    """A value of the metrics page; 0 if it is not there."""
    for each in client.get("/metrics").text.splitlines():
        name, _, value = each.rpartition(" ")
        if name == line:
            return float(value)
    return 0.0
