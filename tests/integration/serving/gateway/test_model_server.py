"""The gateway before the embedded model server, each in a process of its own."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.client import Client
from tests.integration.serving.gateway.running import ROW, eventually, gateway, write_model
from tests.integration.serving.modelserver.running import program

ROWS = [
    {"carrier": carrier, "departure": number, "distance": 50.0 * number} for number, carrier in enumerate(["UA", "AA"] * 50)
]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_answers_are_those_of_the_model_server(models: Path, tmp_path: Path, protocol: str) -> None:
    with program("--model_name=flights", f"--model_base_path={models}", log=tmp_path / "server.log") as (server, _):
        addresses = {
            "grpc": f"grpc://127.0.0.1:{server.port}/flights",
            "http": f"http://127.0.0.1:{server.rest_port}/v1/models/flights",
        }
        with Client(addresses["grpc"]) as client, gateway(tmp_path, addresses[protocol]) as running:
            expected = [each.score for each in client.predict(ROWS)]
            together = [each["score"] for each in running.predict(*ROWS).json()["predictions"]]
            with ThreadPoolExecutor(16) as threads:
                singly = [each.json()["predictions"][0]["score"] for each in threads.map(running.predict, ROWS)]
            calls = running.sample('gateway_prediction_duration_seconds_count{model="flights",version="1"}')

    assert together == pytest.approx(expected, abs=1e-6)
    assert singly == pytest.approx(expected, abs=1e-6)
    # Of 100 single rows, many shared a call.
    assert calls < 100


def test_a_push_under_load_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    folder.mkdir()
    write_model(folder, 1, 1 / 6000)
    flags = ("--model_name=flights", f"--model_base_path={folder}", "--file_system_poll_wait_seconds=1")
    with (
        program(*flags, log=tmp_path / "server.log") as (server, _),
        gateway(tmp_path, f"grpc://127.0.0.1:{server.port}/flights", cache={"rows": 100}) as running,
    ):
        answers: list[tuple[int, int, float]] = []
        pushed = threading.Event()

        def load(worker: int) -> None:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                response = running.predict(ROW | {"departure": worker})
                if response.status_code != 200:
                    answers.append((response.status_code, 0, 0.0))
                    return
                (prediction,) = response.json()["predictions"]
                answers.append((200, prediction["model_version"], prediction["score"]))
                if pushed.is_set() and prediction["model_version"] == 2:
                    return

        with ThreadPoolExecutor(4) as threads:
            loads = [threads.submit(load, worker) for worker in range(4)]
            eventually(lambda: len(answers) > 50, "there is no load")
            write_model(folder, 2, 1 / 3000)
            pushed.set()
            for each in loads:
                each.result()

    assert {status for status, _, _ in answers} == {200}
    scores = {version: {round(score, 4) for _, each, score in answers if each == version} for version in (1, 2)}
    assert scores == {1: {round(1400 / 6000, 4)}, 2: {round(1400 / 3000, 4)}}


def test_a_server_that_is_killed_and_started_again(models: Path, tmp_path: Path) -> None:
    flags = ("--model_name=flights", f"--model_base_path={models}")
    with program(*flags, log=tmp_path / "server.log") as (server, process):
        address = f"grpc://127.0.0.1:{server.port}/flights"
        with gateway(tmp_path, address, timeout_seconds=2.0) as running:
            assert running.predict(ROW).status_code == 200
            process.kill()
            process.wait()
            started = time.monotonic()
            assert {running.predict(ROW).status_code for _ in range(3)} <= {503, 504}
            assert time.monotonic() - started < 30
            assert running.http.get("/healthz").status_code == 200
            eventually(lambda: running.http.get("/readyz").status_code == 503, "it still says that it is ready")
            with program(*flags, f"--port={server.port}", log=tmp_path / "again.log"):
                eventually(lambda: running.predict(ROW).status_code == 200, "it does not find the server again")
                eventually(lambda: running.http.get("/readyz").status_code == 200, "it does not say that it is ready again")
            events = [json.loads(line)["event"] for line in running.log.read_text().splitlines()]

    assert events.count("the model is away") == 1
    assert events.count("the model answers") == 2


def test_stable_and_canary_by_labels(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    folder.mkdir()
    write_model(folder, 1, 1 / 6000)
    write_model(folder, 2, 1 / 3000)
    (tmp_path / "models.config").write_text(
        f"""
        model_config_list {{ config {{
          name: "flights" base_path: "{folder}" model_platform: "tensorflow"
          model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
          version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }}
        }} }}
        """
    )
    rollout = tmp_path / "rollout.json"
    rollout.write_text(json.dumps({"stable": 1, "canary": 2, "traffic": 25}))
    flags = (f"--model_config_file={tmp_path}/models.config", "--allow_version_labels_for_unavailable_models")
    with (
        program(*flags, log=tmp_path / "server.log") as (server, _),
        gateway(tmp_path, f"grpc://127.0.0.1:{server.port}/flights", rollout=str(rollout)) as running,
    ):
        versions = [running.predict(ROW).json()["predictions"][0]["model_version"] for _ in range(400)]
        (model,) = running.http.get("/v1/models").json()["models"]

    assert 60 < versions.count(2) < 140
    assert versions.count(1) + versions.count(2) == 400
    assert [each["labels"] for each in model["versions"]] == [["stable"], ["canary"]]
