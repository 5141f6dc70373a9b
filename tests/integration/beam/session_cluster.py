"""A Flink session cluster as manifests/flink has it, each part a process of this machine instead of a container."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.fakes.ports import free_ports

JARS = Path(__file__).resolve().parents[3] / "build" / "flink"

_SECONDS_TO_START = 120
# Flink's start script would divide the memory. In small segments it makes buffers enough for a job of hundreds of tasks.
_CONFIGURATION = """
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
rest.port: {rest}
taskmanager.host: localhost
taskmanager.numberOfTaskSlots: 2
taskmanager.cpu.cores: 2
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 256m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 128m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
taskmanager.memory.segment-size: 8kb
taskmanager.network.sort-shuffle.min-buffers: 16
"""


class SessionCluster:
    """JobManager, TaskManager, Beam's job server and a pool of Python workers, with the addresses that they answer at.

    Attributes:
      job_server: where Beam jobs are sent to.
      worker_pool: where the TaskManager finds Python workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        rpc, self._rest, jobs, pool = free_ports(4)
        self.job_server, self.worker_pool = f"127.0.0.1:{jobs}", f"localhost:{pool}"
        (folder / "config.yaml").write_text(_CONFIGURATION.format(rpc=rpc, rest=self._rest))
        self._processes = [
            self._java("org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", "--configDir", str(folder)),
            self._java("org.apache.flink.runtime.taskexecutor.TaskManagerRunner", "--configDir", str(folder)),
            self._java(
                "org.apache.beam.runners.flink.FlinkJobServerDriver",
                *(f"--flink-master=localhost:{self._rest}", "--job-host=127.0.0.1", f"--job-port={jobs}"),
                *("--artifact-port=0", "--expansion-port=0", f"--artifacts-dir={folder / 'artifacts'}"),
            ),
            self._start(
                "worker-pool", sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"
            ),
        ]

    def wait(self) -> None:
        """Waits until jobs can run."""
        self._until(lambda: self._ask("overview")["slots-total"] == 2)
        for address in (self.job_server, self.worker_pool):
            host, _, port = address.rpartition(":")
            self._until(lambda host=host, port=port: socket.create_connection((host, int(port))).close() is None)

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that Flink has run, as its REST API tells of them."""
        return list(self._ask("jobs/overview")["jobs"])

    def stop(self) -> None:
        """Ends all processes, the pool first: it ends its workers."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait(timeout=30)

    def _java(self, entry: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start(entry.rpartition(".")[2], "java", "-Xmx512m", "-cp", f"{JARS}/job-server.jar", entry, *arguments)

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        # The worker pool starts "python", whichever that is.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def _ask(self, path: str) -> dict[str, Any]:
        with urlopen(f"http://localhost:{self._rest}/{path}", timeout=10) as answer:
            content: dict[str, Any] = json.load(answer)
        return content

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        logs = (f"{log.name}:\n{log.read_text()[-2000:]}" for log in sorted(self._folder.glob("*.log")))
        raise TimeoutError("\n".join(logs))
