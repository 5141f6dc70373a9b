"""A kubectl for tests: a program on the path that keeps the objects of manifests/serving as files."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.rollout.model_folder import SHELL

_KUBECTL = """\
#!{python} -IS
import json, os, subprocess, sys, time
from pathlib import Path

os.chdir({folder!r})
given = sys.argv[1:]
with open("calls", "a") as calls:
    calls.write(" ".join(given) + "\\n")
if given[0] == "--context":
    namespace, given = given[3], given[4:]


def load(kind, name):
    path = Path(f"{{kind}}-{{name}}.json")
    return json.loads(path.read_text()) if path.exists() else None


def save(kind, name, content):
    content["metadata"]["resourceVersion"] = str(int(content["metadata"].get("resourceVersion", "0")) + 1)
    partial = Path(f".{{os.getpid()}}")
    partial.write_text(json.dumps(content))
    partial.rename(f"{{kind}}-{{name}}.json")


def fail(message):
    sys.exit(f"Error from server {{message}}")


match given:
    case ["version", *_]:
        print("Client PushedVersion: v1.33.1")
    case ["config", "get-contexts", *_]:
        print("kind-conveyor")
    case ["get", "--raw", *_]:
        print("{{}}")
    case ["get", "pods", selector, _]:
        name = selector.partition("name=")[2]
        pods = [json.loads(path.read_text()) for path in sorted(Path().glob(f"pod-{{name}}-[0-9]*.json"))]
        print(json.dumps({{"items": pods}}))
    case ["get", kind, name, *_]:
        if found := load(kind, name):
            print(json.dumps(found))
    case ["patch", "configmap", name, "--type=merge", "--patch-file=/dev/stdin"]:
        patch = json.loads(sys.stdin.read())
        content = load("configmap", name)
        version = content["metadata"]["resourceVersion"]
        if patch.get("metadata", {{}}).get("resourceVersion", version) != version:
            fail(f'(Conflict): Operation cannot be fulfilled on configmaps "{{name}}": the object has been modified')
        data = content.setdefault("data", {{}})
        for key, value in patch["data"].items():
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        save("configmap", name, content)
    case ["annotate", "pods", *names, "--overwrite", annotation] if all(Path(f"pod-{{name}}.json").exists() for name in names):
        if Path("pods-may-not-be-changed").exists():
            fail("(Forbidden): pods is forbidden: User cannot patch resource")
        key, _, value = annotation.partition("=")
        for name in names:
            pod = load("pod", name)
            pod["metadata"].setdefault("annotations", {{}})[key] = value
            save("pod", name, pod)
    case ["scale", target, replicas]:
        name = target.partition("/")[2]
        content = load("deployment", name)
        content["spec"]["replicas"] = int(replicas.partition("=")[2])
        save("deployment", name, content)
    case ["rollout", "status", target, timeout]:
        name = target.partition("/")[2]
        end = time.monotonic() + float(timeout.partition("=")[2].rstrip("s"))
        while len(list(Path().glob(f"pod-{{name}}-[0-9]*.json"))) != load("deployment", name)["spec"]["replicas"]:
            if time.monotonic() > end:
                sys.exit("error: timed out waiting for the condition")
            time.sleep(0.1)
    case ["port-forward", *_, target, port]:
        pod = json.loads(Path(f"pod-{{target.partition('/')[2]}}.json").read_text())
        print(f"Forwarding from 127.0.0.1:{{pod['port']}} -> {{port[1:]}}", flush=True)
        time.sleep(600)
    case ["exec", {shell!r}, "--", *command] | ["exec", "--stdin", {shell!r}, "--", *command]:
        assert namespace == "kubeflow"
        command = [part.replace("/conveyor/models", {models!r}) for part in command]
        sys.exit(subprocess.run(command).returncode)
    case _:
        fail(f"(BadRequest): unexpected: {{' '.join(given)}}")
"""


class FakeCluster:
    """Objects of manifests/serving, as they are before the first rollout, and the folder of models.

    Attributes:
      folder: of the objects.
      models: what the volume holds: a folder for each model.
    """

    def __init__(self, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.models = folder, models
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin" / "kubectl"
        program.write_text(_KUBECTL.format(python=sys.executable, folder=str(folder), models=str(models), shell=SHELL))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        for name in ("serving-config", "serving-canary-config", "serving-rollout"):
            self.write(f"configmap-{name}", {"metadata": {"name": name, "resourceVersion": "1"}})
        for name, replicas in (("serving", 1), ("serving-canary", 0)):
            self.write(f"deployment-{name}", {"metadata": {"name": name}, "spec": {"replicas": replicas}})

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        return (self.folder / "calls").read_text().splitlines()

    def read(self, name: str) -> dict[str, Any]:
        """An object, such as `configmap-serving-config`."""
        return dict(json.loads((self.folder / f"{name}.json").read_text()))

    def data(self, config_map: str) -> dict[str, str]:
        """What is in a ConfigMap."""
        return dict(self.read(f"configmap-{config_map}").get("data") or {})

    def replicas(self, deployment: str) -> int:
        """How many pods a Deployment is to have."""
        return int(self.read(f"deployment-{deployment}")["spec"]["replicas"])

    def add_pod(self, name: str, port: int) -> None:
        """Makes a port of this machine one of a pod that is ready."""
        pod = {
            "metadata": {"name": f"{name}-1"},
            "spec": {"containers": [{"ports": [{"name": "http" if name == "gateway" else "grpc", "containerPort": port}]}]},
            "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
            "port": port,
        }
        self.write(f"pod-{name}-1", pod)

    def write(self, name: str, content: Any) -> None:
        """Replaces an object, whole or not at all."""
        path = self.folder / f"{name}.json"
        partial = path.with_name(f".{path.name}")
        partial.write_text(json.dumps(content))
        partial.rename(path)


def cluster_of_flights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """A cluster with the versions 1 to 3 of the model `flights`.

    Args:
      folder: where cluster and models are kept.
      monkeypatch: puts its kubectl on the path.
    """
    for version in (1, 2, 3):
        model = folder / "models" / "flights" / str(version)
        model.mkdir(parents=True)
        (model / "saved_model.pb").write_text("graph")
    return FakeCluster(folder / "cluster", folder / "models", monkeypatch)
