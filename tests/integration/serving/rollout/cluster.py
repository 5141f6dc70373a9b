"""A cluster without Kubernetes: its objects are files, the model servers of its pods are real.

What a ConfigMap says reaches pods a second later, and a Deployment gets its pods then.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.ports import free_port
from tests.fakes.serving_cluster import FakeCluster
from tests.integration.serving.modelserver.running import is_open

_DEFAULT = 'model_config_list { config { name: "flights" base_path: "/models/flights" model_platform: "tensorflow" } }'


class Cluster(FakeCluster):
    """What a test needs of Kubernetes.

    Attributes:
      ports: of the model servers, by Deployment: known beforehand, as Services have addresses before they have pods.
    """

    def __init__(self, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, models, monkeypatch)
        self.ports = {name: free_port() for name in ("serving", "serving-canary")}
        self._mounted = folder / "mounted"
        self._mounted.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def rollout_file(self) -> Path:
        """ConfigMap serving-rollout, as it is mounted in the gateway's pod."""
        return self._mounted / "rollout.json"

    @contextmanager
    def running(self) -> Iterator[Cluster]:
        """Acts on the objects as long as the block lasts."""
        ended = threading.Event()

        def act() -> None:
            while not ended.wait(1):
                self._act()

        self._act()
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join(60)
            for process in self._processes.values():
                process.kill()
                process.wait()

    def _act(self) -> None:
        """Brings ConfigMaps into pods, and pods into being or to an end."""
        for name in self.ports:
            text = self.data(f"{name}-config").get("models.config", _DEFAULT)
            self._mount(f"{name}.config", text.replace("/models/", f"{self.models}/"))
        state = self.data("serving-rollout").get("rollout.json")
        if state is not None:
            self._mount(self.rollout_file.name, state)
        for name, port in self.ports.items():
            replicas, process = self.replicas(name), self._processes.get(name)
            if replicas and process is None:
                self._processes[name] = self._serve(name, port)
            elif replicas and is_open(port):
                self.add_pod(name, port)
            elif not replicas and process is not None:
                (self.folder / f"pod-{name}-1.json").unlink(missing_ok=True)
                process.terminate()
                process.wait(30)
                del self._processes[name]

    def _serve(self, name: str, port: int) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "serving.modelserver", f"--port={port}", "--max_num_load_retries=0"]
        line += [f"--model_config_file={self._mounted / name}.config", "--model_config_file_poll_wait_seconds=1"]
        line += ["--file_system_poll_wait_seconds=1", "--allow_version_labels_for_unavailable_models"]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)

    def _mount(self, name: str, text: str) -> None:
        partial = self._mounted / f".{name}"
        partial.write_text(text)
        partial.rename(self._mounted / name)
