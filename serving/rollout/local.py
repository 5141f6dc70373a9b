"""A rollout on this machine: one model server, whose labels name the stable version and the canary."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from pipeline.config import PipelineConfig
from serving.rollout import files
from serving.rollout.counts import read_metrics
from serving.rollout.model_folder import ModelFolder
from serving.rollout.model_servers import RunningServer, available
from serving.rollout.models_config import render, render_versions
from serving.rollout.placement import Placement
from serving.rollout.state import RolloutState
from serving.rollout.target import move
from serving.rollout.versions import PushedVersion

_CONNECT_SECONDS = 5.0


class LocalTarget:
    """The files of the workspace, and the servers that read them.

    The model server loads a version before a label names it, and keeps it until no label does: each of the three steps is a
    models.config of its own, and the next one waits until the server has taken it over.

    Args:
      config: the pipeline's configuration.
      server: the model server that reads models.config, if it runs.
      gateways: the addresses of the gateways, such as http://localhost:8088.
      tell: gets messages for the person.
      timeout: seconds in which the server has to load a version.
    """

    place = "local"
    follow_seconds = 15.0

    def __init__(
        self,
        config: PipelineConfig,
        server: RunningServer,
        gateways: Sequence[str],
        tell: Callable[[str], None],
        timeout: float,
    ) -> None:
        self.model = config.name
        self._config, self._server, self._gateways = config, server, gateways
        self._models = ModelFolder(config.serving_path)
        self._tell, self._timeout = tell, timeout

    def locked(self) -> AbstractContextManager[None]:
        """Locks the files."""
        return files.locked(self._config)

    def read(self) -> RolloutState:
        """Reads the state from its file."""
        return files.read_state(self._config)

    def write(self, state: RolloutState) -> None:
        """Replaces the file of the state."""
        files.write_state(self._config, state)

    def versions(self) -> list[PushedVersion]:
        """The versions in the serving folder."""
        return self._models.versions()

    def digest(self, version: int) -> str:
        """The digest of a version's model, by its description."""
        return self._models.digest(version)

    def servers(self) -> dict[str, list[int]]:
        """The one model server, if it answers."""
        versions = self._server.versions()
        return {} if versions is None else {self._server.address: available(versions)}

    def silent(self, answering: Collection[str]) -> list[str]:
        """The addresses that somebody listens at."""
        addresses = {self._server.address: f"//{self._server.address}", **{gateway: gateway for gateway in self._gateways}}
        return [name for name, url in addresses.items() if name not in answering and _is_open(url)]

    def drift(self, placement: Placement) -> str:
        """The difference between models.config and a placement."""
        path = files.models_config_path(self._config)
        written = path.read_text() if path.is_file() else None
        wanted = render(self.model, str(self._config.serving_path), placement)
        if written == wanted or (written is None and placement.stable is None):
            return ""
        return f"{path} does not agree with the state ({placement})"

    def expand(self, before: Placement, after: Placement) -> None:
        """Makes the model server load the versions and move its labels."""
        if self._server.versions() is None:
            self._tell(f"No model server answers at {self._server.address}: the next one that starts serves this.")
            return
        move([self._server], before, after, self._configure, self._timeout)

    def settle(self, placement: Placement) -> None:
        """Unloads versions. Labels have moved by now: a gateway that still follows the old state gets a version that stays."""
        files.write_models_config(self._config, placement)

    def pages(self) -> dict[str, str]:
        """The metrics pages of the gateways, also of addresses that somebody listens at and does not answer."""
        pages = {gateway: read_metrics(gateway) for gateway in self._gateways}
        return {gateway: page for gateway, page in pages.items() if page or _is_open(gateway)}

    def delete(self, versions: Collection[int]) -> None:
        """Deletes versions from the serving folder."""
        self._models.delete(versions)

    def _configure(self, versions: Collection[int], labels: Mapping[str, int]) -> None:
        base_path = str(self._config.serving_path)
        files.replace_models_config(self._config, render_versions(self.model, base_path, versions, labels))


def _is_open(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "localhost", port), timeout=_CONNECT_SECONDS):
            return True
    except TimeoutError:
        return True
    except (OSError, ValueError):
        return False
