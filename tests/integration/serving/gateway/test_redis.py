"""Redis for cache and rate limits: shared by gateways, and not needed to go on."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis import Redis as RedisClient
from redis.exceptions import AuthenticationError

from serving.gateway.shared_store import SharedStore
from tests.fakes.ports import free_port
from tests.fakes.waiting import PATIENCE, wait_until
from tests.integration.serving.gateway.running import ENVIRONMENT, REDIS, ROW, Redis, eventually, gateway, redis
from tests.integration.serving.modelserver.running import is_open

DEPLOYMENT = Path(__file__).parents[4] / "manifests/gateway/redis/deployment.yaml"

MISSES, HITS = "gateway_cache_misses_total", "gateway_cache_hits_total"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path) as running:
        yield running


def test_what_one_gateway_keeps_another_finds(model_server: str, tmp_path: Path, shared: Redis) -> None:
    cache = {"redis": shared.url, "redis_seconds": 100}
    with gateway(tmp_path, model_server, cache=cache) as first, gateway(tmp_path, model_server, cache=cache) as second:
        answers = [each.predict(ROW, ROW | {"carrier": "Secret"}).json()["predictions"] for each in (first, second)]
        figures = [[each.sample(MISSES), each.sample(HITS)] for each in (first, second)]

    assert answers[0] == answers[1]
    assert figures == [[2, 0], [0, 2]]
    client = RedisClient.from_url(shared.url)
    keys = client.keys()
    assert len(keys) == 2
    assert all(key.startswith(b"conveyor:flights:1:") and b"Secret" not in key for key in keys)
    assert all(0 < client.ttl(key) <= 100 for key in keys)


def test_what_somebody_else_wrote_is_not_taken_for_an_answer(model_server: str, tmp_path: Path, shared: Redis) -> None:
    with gateway(tmp_path, model_server, cache={"redis": shared.url}) as running:
        running.predict(ROW)
        client = RedisClient.from_url(shared.url)
        (key,) = client.keys()
        for text in (b"", b"[]", b'{"version": 1}'):
            client.set(key, text)
            assert running.predict(ROW).json()["predictions"][0]["model_version"] == 1


def test_the_password_is_in_the_environment(model_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis(tmp_path, "--requirepass", "open-sesame") as guarded:
        monkeypatch.setitem(ENVIRONMENT, "CONVEYOR_REDIS_PASSWORD", "open-sesame")
        with gateway(tmp_path, model_server, cache={"redis": guarded.url}) as running:
            running.predict(ROW)
            running.predict(ROW)
            assert running.sample(HITS) == 1
        monkeypatch.setitem(ENVIRONMENT, "CONVEYOR_REDIS_PASSWORD", "wrong-sesame")
        with gateway(tmp_path, model_server, cache={"redis": guarded.url}) as refused:
            assert refused.predict(ROW).status_code == 200
            log = refused.log.read_text()

    assert "Redis is away" in log
    assert "sesame" not in log


def test_the_redis_of_the_cluster_wants_the_password_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if REDIS is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    (script,) = yaml.safe_load(DEPLOYMENT.read_text())["spec"]["template"]["spec"]["containers"][0]["args"]
    script = (
        script.replace("/etc/redis", str(tmp_path))
        .replace("/data", str(tmp_path))
        .replace("exec redis-server", f"exec {REDIS}")
    )
    port = free_port()
    line = ["sh", "-ceu", f"{script.rstrip()} --port {port} --bind 127.0.0.1 --dir {tmp_path}"]
    refused = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (refused.returncode, "has no password" in refused.stderr) == (1, True)

    (tmp_path / "password").write_text("open-sesame\n")
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: is_open(port))
        assert b"sesame" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        monkeypatch.setenv("CONVEYOR_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
        url = f"redis://127.0.0.1:{port}/0"
        with pytest.raises(AuthenticationError):
            RedisClient.from_url(url).ping()
        store = SharedStore(url)
        assert asyncio.run(store.attempt(store.redis.ping))
        process.terminate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_gateway_goes_on_without_it(model_server: str, tmp_path: Path, shared: Redis, how: signal.Signals) -> None:
    """Once it is gone, and once it hangs."""
    settings = {"cache": {"redis": shared.url}, "access": {"rate_limit": "1000/minute"}}
    with gateway(tmp_path, model_server, **settings) as running:
        assert running.predict(ROW).status_code == 200
        shared.process.send_signal(how)
        started = time.monotonic()
        for number in range(80):
            assert running.predict(ROW | {"departure": number}).status_code == 200
        # If each waited for its quarter of a second, it would be longer.
        assert time.monotonic() - started < 18
        events = [json.loads(line)["event"] for line in running.log.read_text().splitlines()]
        assert events.count("Redis is away: going on without it") == 1
        if how is signal.SIGKILL:
            shared.process.wait()
            shared.start()
        else:
            shared.process.send_signal(signal.SIGCONT)

        def is_used_again() -> bool:
            running.predict(ROW)
            return running.sample(HITS) > 0

        eventually(is_used_again, "Redis is back, but not used")


def test_gateways_count_a_callers_requests_together(model_server: str, tmp_path: Path, shared: Redis) -> None:
    # A day: at the turn of an hour, a part of the one before is forgotten.
    settings = {"cache": {"redis": shared.url}, "access": {"rate_limit": "4/day"}}
    with gateway(tmp_path, model_server, **settings) as first, gateway(tmp_path, model_server, **settings) as second:
        statuses = [each.predict(ROW).status_code for each in (first, second) * 3]
        assert statuses == [200] * 4 + [429] * 2
        shared.kill()
        # Each counts by itself now, and from the beginning.
        assert [first.predict(ROW).status_code for _ in range(5)] == [200] * 4 + [429]
