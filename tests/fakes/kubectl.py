"""A kubectl for tests: a program on the path that tells of the objects, and the logs of pods, that a test has put there."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """\
#!/bin/sh
cd "{folder}" || exit 1
echo "$*" >> calls
[ "$1" = --context ] && shift 4  # and --namespace
case "$1 $2" in
  "version --client") echo "Client Version: v1.33.1" ;;
  "config get-contexts") cat contexts ;;
  "config view") echo https://127.0.0.1:6443 ;;
  "get --raw") echo '{{"major": "1", "minor": "33"}}' ;;
  "get pods") cat pods.json ;;
  get*) cat "objects/$2-$3" 2>/dev/null; true ;;
  logs*) cat "logs/$2" 2>/dev/null || {{ echo "Error from server (BadRequest): main is waiting to start" >&2; exit 1; }} ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
_READY = {
    "namespace-kubeflow": {},
    "persistentvolumeclaim-conveyor": {"status": {"phase": "Bound"}},
    "secret-conveyor-metadata": {"data": {"url": "bXlzcWw6Ly8="}},
    "job-conveyor-prepare": {"status": {"succeeded": 1}},
}


class FakeKubectl:
    """What kubectl finds in a cluster that is ready for runs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in ("bin", "logs", "objects"):
            (folder / name).mkdir(parents=True)
        program = folder / "bin" / "kubectl"
        program.write_text(_SCRIPT.format(folder=folder))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        (folder / "contexts").write_text("kind-conveyor\n")
        for name, content in _READY.items():
            (folder / "objects" / name).write_text(json.dumps(content))
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
            (self.folder / "logs" / name).write_text(log)
        self._write()
        return pod

    def remove(self, name: str) -> None:
        """Takes an object away, such as `secret-conveyor-metadata`."""
        (self.folder / "objects" / name).unlink()

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def _write(self) -> None:
        # Not in the order of time, which kubectl does not promise.
        (self.folder / "pods.json").write_text(json.dumps({"items": self.pods[::-1]}))
