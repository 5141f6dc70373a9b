"""A rollout on this machine: one model server, whose labels say which version is stable and which is tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager

from pipeline.config import PipelineConfig
from pipeline.errors import StorageError
from serving.rollout import files
from serving.rollout.counts import read_metrics
from serving.rollout.model_servers import ModelServer, available
from serving.rollout.models_config import render, render_versions
from serving.rollout.state import Placement, RolloutState
from serving.rollout.target import move
from serving.rollout.versions import Version, files_below, read_versions


class LocalTarget:
    """The files of the workspace, and the servers that read them.

    The model server loads a version before a label names it, and keeps it until no label does: each of the three steps is a
    models.config of its own, and the next one waits until the server has taken it.
    """

    place = "local"

    def __init__(
        self,
        config: PipelineConfig,
        server: ModelServer,
        gateways: Sequence[str],
        tell: Callable[[str], None],
        timeout: float,
    ) -> None:
        """Reads nothing yet.

        Args:
          config: of the pipeline.
          server: that reads models.config, if it runs.
          gateways: the addresses of the gateways, such as http://localhost:8088.
          tell: is told what a person should know.
          timeout: seconds in which the server has to load a version.
        """
        self.model = config.name
        self._config, self._server, self._gateways = config, server, gateways
        self._tell, self._timeout = tell, timeout

    def locked(self) -> AbstractContextManager[None]:
        """See `Target`."""
        return files.locked(self._config)

    def read(self) -> RolloutState:
        """See `Target`."""
        return files.read_state(self._config)

    def write(self, state: RolloutState) -> None:
        """See `Target`."""
        files.write_state(self._config, state)

    def versions(self) -> list[Version]:
        """See `Target`."""
        return read_versions(files_below(self._config.serving_path))

    def servers(self) -> dict[str, list[int]]:
        """See `Target`."""
        versions = self._server.versions()
        return {} if versions is None else {self._server.address: available(versions)}

    def drift(self, placement: Placement) -> str:
        """See `Target`."""
        path = files.models_config_path(self._config)
        written = path.read_text() if path.is_file() else None
        wanted = render(self.model, str(self._config.serving_path), placement)
        if written == wanted or (written is None and placement.stable is None):
            return ""
        return f"{path} does not say what the state says ({placement})"

    def expand(self, before: Placement, after: Placement) -> None:
        """See `Target`."""
        if self._server.versions() is None:
            self._tell(f"No model server answers at {self._server.address}: the next one that starts serves this.")
            return
        move([self._server], before, after, self._configure, self._timeout)

    def settle(self, placement: Placement) -> None:
        """See `Target`. Labels have moved by now: a gateway that has not read the new state yet gets a version that stays."""
        files.write_models_config(self._config, placement)

    def pages(self) -> dict[str, str]:
        """See `Target`."""
        pages = {gateway: read_metrics(gateway) for gateway in self._gateways}
        return {gateway: page for gateway, page in pages.items() if page}

    def delete(self, versions: Collection[int]) -> None:
        """See `Target`. A version is out of the way of model servers before its first file goes."""
        for version in versions:
            folder = self._config.serving_path / str(version)
            doomed = folder.with_name(f".pruned-{version}")
            try:
                folder.rename(doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise StorageError(
                    f"Version {version} cannot be deleted.",
                    where=str(folder),
                    seen=error.strerror or str(error),
                    fix="mend the rights of the folder, then again: conveyor models prune",
                ) from error

    def _configure(self, versions: Collection[int], labels: Mapping[str, int]) -> None:
        base_path = str(self._config.serving_path)
        files.replace_models_config(self._config, render_versions(self.model, base_path, versions, labels))
