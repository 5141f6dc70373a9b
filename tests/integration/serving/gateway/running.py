"""What the gateway runs with: a model, the embedded model server, Redis; and the gateway as a program."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fakes.ports import free_port
from tests.fakes.waiting import PATIENCE, wait_until
from tests.integration.serving.modelserver.running import is_open

ROW = {"carrier": "UA", "departure": 900, "distance": 1400.0}
REDIS = shutil.which("redis-server")
ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


def write_model(folder: Path, version: int, weight: float) -> None:
    """A version that answers as the pipeline's binary classifiers do: the score is the distance times a weight.

    It appears whole or not at all, as a push does.
    """
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "carrier"),
                tf.TensorSpec([None], tf.int64, "departure"),
                tf.TensorSpec([None], tf.float32, "distance"),
            ]
        )
        def predict_raw(self, carrier: Any, departure: Any, distance: Any) -> Any:
            score = tf.clip_by_value(distance * weight, 0.0, 1.0)[:, tf.newaxis]
            # Every input has to be used, or it does not become one.
            score += 0.0 * tf.cast(departure + tf.cast(tf.strings.length(carrier), tf.int64), tf.float32)[:, tf.newaxis]
            return {
                "labels": tf.cast(score > 0.5, tf.int64),
                "probabilities": tf.concat([1.0 - score, score], axis=1),
                "score": score,
            }

    partial = folder / f".partial-{version}"
    model = Model()
    tf.saved_model.save(model, str(partial), {"predict_raw": model.predict_raw})
    partial.rename(folder / str(version))


class Gateway:
    """`python -m serving.gateway` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log, self.url = process, log, f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def predict(self, *rows: Mapping[str, Any], **headers: str) -> httpx.Response:
        """The response to rows."""
        return self.http.post("/v1/predict", json={"rows": rows}, headers=headers)

    def sample(self, line: str) -> float:
        """A value of the metrics page; 0 if it is not there."""
        values = dict(each.rsplit(" ", 1) for each in self.http.get("/metrics").text.splitlines())
        return float(values.get(line, 0))

    def stop(self) -> int:
        """Ends it as Kubernetes does, and waits."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def gateway(folder: Path, model_server: str, *, wrap: tuple[str, ...] = (), **fields: Any) -> Iterator[Gateway]:
    """A gateway that answers.

    Args:
      folder: for its settings and its output.
      model_server: the address of the model.
      wrap: what goes before its command line.
      fields: of the settings.
    """
    port = free_port()
    settings, log = folder / f"settings-{port}.yaml", folder / f"gateway-{port}.log"
    settings.write_text(yaml.safe_dump({"port": port, "upstream": {"stable": model_server}, "cache": {"rows": 0}, **fields}))
    line = [*wrap, sys.executable, "-m", "serving.gateway", "--settings", str(settings)]
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    running = Gateway(process, port, log)
    try:
        wait_until(lambda: process.poll() is not None or is_open(port))
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        running.http.close()
        if process.poll() is None:
            process.kill()
            process.wait()


class Redis:
    """A Redis that can be ended, stopped and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._port = free_port()
        self._line = [
            str(REDIS),
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
            *options,
        ]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Starts it, for the first time or again."""
        self.process = subprocess.Popen(self._line, stdout=subprocess.DEVNULL)
        wait_until(lambda: is_open(self._port))

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def redis(folder: Path, *options: str) -> Iterator[Redis]:
    """A Redis for as long as the block lasts."""
    if REDIS is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    running = Redis(folder, *options)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGCONT)
        running.kill()


def eventually(condition: Any, what: str) -> None:
    """Waits until a condition holds, and fails with a message if it does not in time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)
