"""A model server's rules without its models: what it loads and unloads, and which labels it refuses."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from serving.protocol import ModelServerConfig
from serving.rollout.model_servers import Loading, RunningServer


class SimulatedServer(RunningServer):
    """Reads models.config whenever it is asked something, and takes one step then: it loads one version, or unloads the rest.

    Attributes:
      violations: labels that it had to refuse, and labels that named a version which does not answer.
    """

    def __init__(self, models_config: Path, folder: Path) -> None:
        super().__init__("simulated:8500", "flights")
        self._models_config, self._folder = models_config, folder
        self.running = False
        self.loaded: set[int] = set()
        self.labels: dict[str, int] = {}
        self.broken: set[int] = set()
        self.violations: list[str] = []

    def start(self) -> None:
        """Starts the server: it answers when all is loaded, whatever labels name meanwhile."""
        self.running, self.loaded = True, set()
        wanted, self.labels = self._read()
        self.loaded = wanted - self.broken

    def stop(self) -> None:
        """Ends the server."""
        self.running, self.loaded, self.labels = False, set(), {}

    def versions(self) -> dict[int, Loading] | None:
        """The state of each version, or None where the server does not run."""
        if not self.running:
            return None
        self.poll()
        found = {version: Loading("AVAILABLE") for version in self.loaded}
        wanted, _ = self._read()
        failed = {version: Loading("END", "the graph cannot be read") for version in wanted & self.broken}
        return {**found, **failed}

    def labelled(self, label: str) -> int | None:
        """The loaded version that a label names."""
        self.poll()
        version = self.labels.get(label)
        return version if version in self.loaded else None

    def poll(self) -> None:
        """Reads the configuration, and takes one step towards it."""
        wanted, labels = self._read()
        refused = {each: number for each, number in labels.items() if self.labels.get(each) != number not in self.loaded}
        if refused:
            self._accuse("refused", refused)
            return
        self.labels = labels
        missing = sorted(wanted - self.loaded - self.broken)
        if missing:
            self.loaded.add(missing[0])
        elif self.loaded & wanted:
            self.loaded &= wanted
        self._accuse("not loaded", {each: number for each, number in labels.items() if number not in self.loaded})

    def _accuse(self, what: str, labels: dict[str, int]) -> None:
        # A version that cannot be loaded can get its label while no server runs.
        self.violations += [f"{what} {each}: {number}" for each, number in labels.items() if number not in self.broken]

    def _read(self) -> tuple[set[int], dict[str, int]]:
        """The versions that the configuration wants of those that are there, and the labels."""
        there = {int(path.name) for path in self._folder.glob("[0-9]*")}
        if not self._models_config.exists():
            return set(sorted(there)[-1:]), {}
        config = text_format.Parse(self._models_config.read_text(), ModelServerConfig())
        (model,) = config.model_config_list.config
        if model.model_version_policy.WhichOneof("policy_choice") == "latest":
            return set(sorted(there)[-1:]), dict(model.version_labels)
        return set(model.model_version_policy.specific.versions) & there, dict(model.version_labels)
