"""A machine for tests, with docker, git, kind and kubectl of its own (machine.sh) and a copy of the manifests."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipeline.cluster import install
from pipeline.config import PipelineConfig
from pipeline.util import checkout
from tests.fakes.ports import free_ports

_VERSIONS = {
    "docker": "28.2.2",
    "git": "git version 2.47.1",
    "kind": "kind v0.32.0 go1.26.1 linux/amd64",
    "kubectl": "Client Version: v1.33.12\nKustomize Version: v5.6.0",
}
# Verbs that change nothing.
_LOOKS = ("version", "get", "inspect", "info", "exec", "kustomize", "config", "wait")


class Machine:
    """With a Docker engine that has the image; without a cluster."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Puts the programs, and nothing else, on the path; `home` becomes the working directory."""
        self.home, self.bin, self.state, self.manifests = home, home / "bin", home / "state", home / "manifests"
        for name in _VERSIONS:
            install_program(home, name)
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.chdir(home)
        shutil.copytree(checkout.ROOT / "manifests", self.manifests)
        monkeypatch.setattr(checkout, "ROOT", home)
        self.ports = self._choose_ports()
        self.render()
        self.write("local_images", "conveyor:0.1.0\n")
        self.write("size", f"8 {16 * 1024**3}\n")
        self.write("job.json", json.dumps({"status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}}))
        for name in ("contexts", "cluster_images"):
            self.write(name, "")
        self.tells()
        self.console = Console(file=StringIO(), width=200)

    def up(self, **kubeflow: Any) -> install.Installed:
        """`conveyor cluster up`, everything agreed to."""
        return install.up(configuration(**kubeflow), self.console, lambda question: True)

    def write(self, name: str, text: str) -> None:
        """Changes the machine: a file of its state, as machine.sh reads it."""
        (self.state / name).parent.mkdir(parents=True, exist_ok=True)
        (self.state / name).write_text(text)

    def put(self, name: str, **content: Any) -> None:
        """Puts an object into the cluster, such as `secret/conveyor-metadata`."""
        self.write(f"objects/{name}", json.dumps(content))

    def remove(self, name: str) -> None:
        """Removes a file of the machine's state."""
        (self.state / name).unlink()

    def fail(self, command: str, stderr: str) -> None:
        """Lets the next command line that contains `command` fail."""
        with (self.state / "failures").open("a") as failures:
            failures.write(f"{command}\n{stderr}\n")

    def tells(self, **lists: list[dict[str, Any]]) -> None:
        """Lets the cluster tell of `pods`, `events`, `deployments` and `workflows`."""
        for kind in ("pods", "events", "deployments", "workflows"):
            self.write(f"{kind}.json", json.dumps({"items": lists.get(kind, [])}))

    def has_cluster(self) -> None:
        """Gives the machine a cluster on which runs can start."""
        self.write("folder", str(self.home / ".conveyor" / "cluster"))
        for name in ("cluster", "running"):
            self.write(name, "")
        self.write("contexts", "kind-conveyor\n")
        self.write("cluster_images", "conveyor:0.1.0\n")
        self.put("namespace/kubeflow", metadata={"labels": {"app.kubernetes.io/managed-by": "conveyor"}})
        self.put("persistentvolumeclaim/conveyor", status={"phase": "Bound"})
        self.put("secret/conveyor-metadata", data={"url": ""})
        self.put("job/conveyor-prepare", status={"succeeded": 1})
        self.put("configmap/workflow-controller-configmap", data={"workflowDefaults": "spec: {}\n"})

    def has_profile(self, name: str) -> None:
        """Gives the machine a cluster of the context `shared`, with a profile in which nothing is installed."""
        self.write("contexts", "shared\n")
        self.write("running", "")
        self.put(f"namespace/{name}", metadata={})
        self.put("serviceaccount/default-editor", metadata={})

    def has_real_cluster(self) -> None:
        """Gives the machine an empty cluster of the context `production`, and manifests that are edited for it."""
        self.write("contexts", "production\n")
        self.write("running", "")
        for path in self.manifests.glob("*/overlays/cluster/volume.yaml"):
            path.write_text(path.read_text().replace("nfs.example.com", "files.corp"))
        self.render()

    def render(self) -> None:
        """Writes what `kubectl kustomize` answers: the resources, without the patches."""
        for part in ("conveyor", "serving", "gateway"):
            for overlay in ("kind", "cluster"):
                self.write(f"{part}-{overlay}.yaml", "\n---\n".join(_resources(self.manifests / part / "overlays" / overlay)))

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def changes(self) -> list[str]:
        """The command lines so far that may have changed something."""
        return [call for call in self.calls if _verb(call) not in _LOOKS]

    @property
    def inputs(self) -> str:
        """All that programs read on their standard input."""
        return (self.state / "inputs").read_text()

    @property
    def objects(self) -> set[str]:
        """What is in the cluster, such as `secret/conveyor-metadata`."""
        folder = self.state / "objects"
        return {str(path.relative_to(folder)) for path in folder.glob("*/*")}

    @property
    def shown(self) -> str:
        """What was printed on the console."""
        assert isinstance(self.console.file, StringIO)
        return self.console.file.getvalue()

    def _choose_ports(self) -> list[int]:
        """Lets the cluster answer on ports that nothing on the machine that runs the tests listens on."""
        path = self.manifests / "kind" / "cluster.yaml"
        definition = yaml.safe_load(path.read_text())
        mappings = definition["nodes"][0]["extraPortMappings"]
        for mapping, port in zip(mappings, free_ports(len(mappings)), strict=True):
            mapping["hostPort"] = port
        path.write_text(yaml.safe_dump(definition))
        return [mapping["hostPort"] for mapping in mappings]


def install_program(home: Path, name: str) -> None:
    """Puts docker, git, kind or kubectl into `home`/bin; it keeps what it knows in `home`/state."""
    for folder in (home / "bin", home / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    program = home / "bin" / name
    shutil.copy(Path(__file__).with_name("machine.sh"), program)
    program.chmod(0o755)
    (home / "state" / f"version-{name}").write_text(_VERSIONS[name] + "\n")
    (home / "state" / "failures").touch()


def configuration(**kubeflow: Any) -> PipelineConfig:
    """Of a pipeline, with fields of the section `kubeflow`."""
    return PipelineConfig.model_validate(
        {"name": "flights", "label": "late", "data": {"input": "{workspace}/data/flights.csv"}, "kubeflow": kubeflow}
    )


def _verb(call: str) -> str:
    words = call.split()[1:]
    while words[0] in ("--context", "--namespace", "container", "image"):
        words = words[1 if words[0] in ("container", "image") else 2 :]
    return words[0]


def _resources(folder: Path) -> list[str]:
    found: list[str] = []
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = folder / name
        found += _resources(path) if path.is_dir() else [path.read_text()]
    return found
