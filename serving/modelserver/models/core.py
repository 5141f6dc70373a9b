"""The server without its interfaces: models by configuration, versions by folder, and labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from pipeline.contracts import signature
from pipeline.errors import ConfigError
from serving.modelserver.flags import Flags
from serving.modelserver.inference.batching import PER_MODEL_FILE, BatchParameters, BatchScheduler, server_parameters
from serving.modelserver.inference.servable import Servable, SessionOptions
from serving.modelserver.models.config import ModelConfig, ModelServerConfig, check_config, local_path, read_config
from serving.modelserver.models.manager import Manager, Retries, VersionStatus
from serving.modelserver.models.source import wanted_versions
from serving.modelserver.models.warmup import warm_up
from serving.modelserver.status import StatusError, failed_precondition, invalid_argument, not_found

_LOG = logging.getLogger(__name__)
_Labels = dict[str, dict[str, int]]


class ServerCore:
    """Models, their versions and labels. The configuration is read at once; models are loaded by `start`.

    Args:
      flags: the server's flags.

    Raises:
      ConfigError: a configuration file, or the key by which models are verified, cannot be read.
    """

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self._public_key = signature.public_key(Path(flags.model_public_key_file)) if flags.model_public_key_file else None
        self._options = SessionOptions.from_flags(flags)
        self._batching = server_parameters(flags)
        self._batcher = BatchScheduler(self._batching.num_batch_threads) if self._batching else None
        self._config = ModelServerConfig()
        self._names: frozenset[str] = frozenset()
        self._first_config = read_config(flags)
        self._labels: _Labels = {}
        self._reloading, self._stopping = Lock(), Event()
        self._missing: dict[str, str] = {}
        self._manager: Manager[Servable] = Manager(
            self._load,
            retries=Retries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6),
            load_threads=flags.num_load_threads,
            unload_threads=flags.num_unload_threads,
            observer=_log,
        )

    def start(self) -> None:
        """Loads the models and returns when each of them answers; from then on folders and configuration are watched.

        Raises:
          StatusError: the configuration is wrong, or a model cannot be loaded.
        """
        if self.flags.file_system_poll_wait_seconds > 0:
            self._repeat(self.flags.file_system_poll_wait_seconds, self._poll)
        self.reload(self._first_config)
        if self.flags.model_config_file and self.flags.model_config_file_poll_wait_seconds > 0:
            self._repeat(self.flags.model_config_file_poll_wait_seconds, self._reread_config)

    def reload(self, config: ModelServerConfig) -> None:
        """Serves another set of models, and returns when those that are new answer.

        Args:
          config: replaces the present configuration; nothing changes if it is wrong.

        Raises:
          StatusError: the configuration cannot be carried out, or a new model cannot be loaded.
        """
        with self._reloading:
            if config == self._config or config.WhichOneof("config") is None:
                return
            check_config(config)
            self._labels = self._new_labels(config)
            old = {model.name for model in self._config.model_config_list.config}
            new = [model.name for model in config.model_config_list.config if model.name not in old]
            self._config = config
            self._names = frozenset(model.name for model in config.model_config_list.config)
            self._look()
            for name in old - {model.name for model in config.model_config_list.config}:
                self._manager.want(name, {})
        self._manager.wait_until_available(new, self._stopping.is_set)

    @contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version that a request asks for; it stays loaded until the block is left.

        Raises:
          StatusError: the request does not name a model, or a model, version or label that is served.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        with self._manager.use(spec.name, self._version(spec)) as servable:
            yield servable

    def is_served(self, name: str) -> bool:
        """Whether a model of this name is in the configuration."""
        return name in self._names

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers a GetModelStatus call: the versions of a model, or the one that is named.

        Raises:
          StatusError: there is none.
        """
        versions = self._manager.versions(spec.name)
        if spec.WhichOneof("version_choice") == "version":
            number = spec.version.value
            if number not in versions:
                raise not_found(f"Could not find version {number} of model {spec.name}")
            versions = {number: versions[number]}
        if not versions:
            raise not_found(f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, status in versions.items():
            added = response.model_version_status.add(version=number, state=status.state.value)
            if status.error:
                added.status.CopyFrom(status.error.to_proto())
            else:
                added.status.SetInParent()
        return response

    @property
    def is_stopping(self) -> bool:
        """Whether it was interrupted or stopped."""
        return self._stopping.is_set()

    def interrupt(self) -> None:
        """Makes `start` and `reload` give up waiting, and stops watching."""
        self._stopping.set()

    def stop(self) -> None:
        """Stops watching, waits for requests that are under way and unloads everything."""
        self._stopping.set()
        self._manager.stop()

    def _version(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
            return labels[spec.version_label]
        return None

    def _new_labels(self, config: ModelServerConfig) -> _Labels:
        """The labels of a configuration, each of a version that answers, unless the flags allow it to come later."""
        labels: _Labels = {}
        for model in config.model_config_list.config:
            for label, version in model.version_labels.items():
                present = self._labels.get(model.name, {}).get(label, version)
                may_wait = self.flags.allow_version_labels_for_unavailable_models and present == version
                if not may_wait and not self._manager.is_available(model.name, version):
                    raise failed_precondition(
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference"
                    )
                labels.setdefault(model.name, {})[label] = version
        return labels

    def _load(self, name: str, version: int, path: Path) -> Servable:
        if self._public_key is not None:
            try:
                signature.verify(path, name, self._public_key)
            except signature.UntrustedModelError as error:
                raise failed_precondition(
                    f"{error.what} {error.where}: expected {error.expected}, seen {error.seen}"
                ) from error
        servable = Servable(name, version, path, self._options)
        try:
            if self.flags.enable_model_warmup:
                warm_up(servable, path, max(self.flags.num_request_iterations_for_warmup, 1))
            parameters = self._parameters(path)
            if self._batcher and parameters:
                servable.run = self._batcher.wrap(servable.run, parameters)
        except BaseException:
            servable.close()
            raise
        return servable

    def _parameters(self, path: Path) -> BatchParameters | None:
        if not self._batching or not self.flags.enable_per_model_batching_parameters:
            return self._batching
        file = path / PER_MODEL_FILE
        return BatchParameters.from_file(file) if file.is_file() else None

    def _poll(self) -> None:
        with self._reloading:
            self._look()

    def _look(self) -> None:
        for model in self._config.model_config_list.config:
            self._look_at(model)

    def _look_at(self, model: ModelConfig) -> None:
        try:
            versions = wanted_versions(model.name, local_path(model.base_path), model.model_version_policy)
            problem = "" if versions else f"No versions of servable {model.name} found under base path {model.base_path}"
        except StatusError as error:
            versions, problem = None, error.message
        if problem and problem != self._missing.get(model.name):
            _LOG.warning("%s", problem)
        self._missing[model.name] = problem
        # When a folder cannot be read, the versions that are loaded stay.
        if versions is not None:
            self._manager.want(model.name, versions)

    def _reread_config(self) -> None:
        try:
            self.reload(read_config(self.flags))
        except (ConfigError, StatusError) as error:
            _LOG.error("The model configuration was not reloaded: %s", error)

    def _repeat(self, seconds: float, action: Callable[[], None]) -> None:
        def repeat() -> None:
            while not self._stopping.wait(seconds):
                try:
                    action()
                except Exception:
                    _LOG.exception("The next attempt is in %g s.", seconds)

        Thread(target=repeat, name=action.__name__, daemon=True).start()


def _log(status: VersionStatus) -> None:
    if status.error:
        _LOG.error("%s version %d: %s: %s", status.model, status.version, status.state.name, status.error)
    else:
        _LOG.info("%s version %d: %s", status.model, status.version, status.state.name)
