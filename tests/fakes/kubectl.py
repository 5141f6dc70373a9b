"""A cluster for tests, as kubectl shows it: the objects, and the logs of pods, that a test has put there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kfp_records import Record
from tests.fakes.machine import install_program

_READY = {
    "namespace/kubeflow": {},
    "persistentvolumeclaim/conveyor": {"status": {"phase": "Bound"}},
    "secret/conveyor-metadata": {"data": {"url": "bXlzcWw6Ly8="}},
    "job/conveyor-prepare": {"status": {"succeeded": 1}},
}


class FakeKubectl:
    """The kubectl of `Machine`, before all others on the path, and a cluster that is ready for runs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_program(folder, "kubectl")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        self._state = folder / "state"
        (self._state / "logs").mkdir()
        (self._state / "contexts").write_text("kind-conveyor\n")
        (self._state / "running").touch()
        (self._state / "workflows.json").write_text(json.dumps({"items": []}))
        for name, content in _READY.items():
            path = self._state / "objects" / name
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(content))
        self.pods: list[dict[str, Any]] = []
        self._write()

    def add(self, step: str, log: str | None = None, **status: Any) -> dict[str, Any]:
        """Puts a pod there.

        Args:
          step: of the workflow, such as `trainer.executor(0)`.
          log: what it has written; None: it has not started.
          status: of the pod, as Kubernetes has it.
        """
        name = f"flights-x7k2p-system-container-impl-{len(self.pods)}"
        pod = {
            "metadata": {
                "name": name,
                "creationTimestamp": f"2026-03-01T06:{len(self.pods):02}:00Z",
                "annotations": {"workflows.argoproj.io/node-name": f"flights-x7k2p.root.exit-handler-1.{step}"},
            },
            "status": status,
        }
        self.pods.append(pod)
        if log is not None:
            (self._state / "logs" / name).write_text(log)
        self._write()
        return pod

    def replay(self, record: Record) -> None:
        """Puts the pods and the workflow of a recorded run there, and takes away all others."""
        self.pods = record.pods
        for pod in self.pods:
            if pod["status"]["phase"] != "Pending":
                name = pod["metadata"]["name"]
                (self._state / "logs" / name).write_text(f"log of {name}\n")
        self._write()
        workflows = [record.workflow] if record.workflow else []
        (self._state / "workflows.json").write_text(json.dumps({"items": workflows}))

    def fail(self, command: str, stderr: str) -> None:
        """Lets the next command line that contains `command` fail."""
        with (self._state / "failures").open("a") as failures:
            failures.write(f"{command}\n{stderr}\n")

    def remove(self, name: str) -> None:
        """Removes an object, such as `secret/conveyor-metadata`."""
        (self._state / "objects" / name).unlink()

    def move_to(self, namespace: str) -> None:
        """Makes the namespace of the runs that of a profile."""
        objects = self._state / "objects"
        (objects / "namespace" / "kubeflow").rename(objects / "namespace" / namespace)
        (objects / "serviceaccount").mkdir()
        (objects / "serviceaccount" / "default-editor").write_text("{}")

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        path = self._state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def _write(self) -> None:
        # Not in the order of time, which kubectl does not promise.
        (self._state / "pods.json").write_text(json.dumps({"items": self.pods[::-1]}))
