"""Loads and unloads versions so that a model that answers goes on answering.

The order of the steps is that of TensorFlow Serving's AvailabilityPreservingPolicy: a version that is no longer wanted stays
until one that is wanted has been loaded. A version is unloaded when its last request is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from threading import Condition, Timer
from typing import Generic, Protocol, TypeVar

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from serving.modelserver import metrics
from serving.modelserver.models.source import Stamp, stamp
from serving.modelserver.status import StatusError, from_exception, not_found


class State(IntEnum):
    """The state of a version; the numbers are those of GetModelStatus."""

    START = ModelVersionStatus.START
    LOADING = ModelVersionStatus.LOADING
    AVAILABLE = ModelVersionStatus.AVAILABLE
    UNLOADING = ModelVersionStatus.UNLOADING
    END = ModelVersionStatus.END


class Closable(Protocol):
    """An object of the manager, which is closed when it is no longer used."""

    def close(self) -> None:
        """Frees its memory."""
        ...


_S = TypeVar("_S", bound=Closable)


@dataclass(frozen=True)
class VersionStatus:
    """A version's state, and the error if it failed."""

    model: str
    version: int
    state: State
    error: StatusError | None = None


Observer = Callable[[VersionStatus], None]


@dataclass(frozen=True)
class Retries:
    """The number of further attempts to load a version, and the seconds before each."""

    number: int = 5
    seconds: float = 60.0


@dataclass
class _ManagedVersion(Generic[_S]):
    model: str
    number: int
    path: Path
    state: State = State.START
    error: StatusError | None = None
    wanted: bool = True
    servable: _S | None = None
    users: int = 0
    attempts: int = 0
    # The folder's stamp when loading failed: when it changes, another attempt makes sense.
    failed_stamp: Stamp | None = None
    retry: Timer | None = field(default=None, repr=False)


class Manager(Generic[_S]):
    """The versions of all models.

    Args:
      load: makes a servable of a model's name, a version's number and its folder; may raise any exception.
      retries: further attempts to load a version.
      load_threads: the number of versions that are loaded at once.
      unload_threads: the number of versions that are unloaded at once.
      observer: is called with each change of a version's status, in order; must not call the manager.
    """

    def __init__(
        self,
        load: Callable[[str, int, Path], _S],
        *,
        retries: Retries = Retries(),
        load_threads: int = 1,
        unload_threads: int = 1,
        observer: Observer = lambda status: None,
    ) -> None:
        self._load, self._retries, self._observer = load, retries, observer
        self._models: dict[str, dict[int, _ManagedVersion[_S]]] = {}
        self._condition = Condition()
        self._loaders = ThreadPoolExecutor(max(load_threads, 1), "load")
        self._unloaders = ThreadPoolExecutor(max(unload_threads, 1), "unload")
        self._stopped = False

    def want(self, model: str, versions: Mapping[int, Path]) -> None:
        """Says which versions of a model are to be served from now on; loading and unloading go on in the background.

        Args:
          model: its name.
          versions: folders by number; none to unload the model. A version that failed is tried again if its folder has
            changed since.
        """
        with self._condition:
            if self._stopped:
                return
            known = self._models.setdefault(model, {}) if versions else self._models.get(model, {})
            for number, path in versions.items():
                if number not in known:
                    known[number] = _ManagedVersion(model, number, path)
                    self._observe(known[number])
                self._want_again(known[number], path)
            for number, version in known.items():
                if number not in versions and version.wanted:
                    self._want_no_longer(version)
            self._act(model)

    @contextmanager
    def use(self, model: str, number: int | None = None) -> Iterator[_S]:
        """A servable, which is not unloaded before the block is left.

        Args:
          model: its name.
          number: the version's number; the highest that is available when not given.

        Raises:
          StatusError: NOT_FOUND: no such version is available.
        """
        with self._condition:
            version = self._available(model, number)
            version.users += 1
            servable = version.servable
        assert servable is not None
        try:
            yield servable
        finally:
            with self._condition:
                version.users -= 1
                self._close_if_unused(version)

    def versions(self, model: str) -> dict[int, VersionStatus]:
        """Every version of a model that was ever wanted, by number."""
        with self._condition:
            known = self._models.get(model, {})
            return {number: self._status(known[number]) for number in sorted(known)}

    def is_available(self, model: str, number: int | None = None) -> bool:
        """Whether a version (any, when none is named) answers."""
        return any(
            status.state is State.AVAILABLE and number in (None, status.version) for status in self.versions(model).values()
        )

    def wait_until_available(self, models: Sequence[str], stop: Callable[[], bool] = lambda: False) -> None:
        """Waits until each of the models answers; for ever, if one has no version at all.

        Args:
          models: their names.
          stop: whether to give up waiting, asked twice a second.

        Raises:
          StatusError: UNKNOWN: a model cannot answer, because each of its versions failed for good.
        """
        with self._condition:
            while not stop():
                missing = [model for model in models if not self.is_available(model)]
                failed = [status for model in missing for status in self._failures(model)]
                if failed:
                    reasons = ", ".join(
                        f"{{{{name: {status.model} version: {status.version}}} due to error: {status.error}}}"
                        for status in failed
                    )
                    message = f"{len(failed)} model(s) did not become available: {{{reasons}}}"
                    raise StatusError(error_codes_pb2.UNKNOWN, message)
                if not missing:
                    return
                self._condition.wait(0.5)

    def stop(self) -> None:
        """Unloads everything, when the requests that are under way are done."""
        with self._condition:
            self._stopped = True
            versions = [version for known in self._models.values() for version in known.values()]
            for version in versions:
                self._cancel_retry(version)
                if version.state is State.AVAILABLE:
                    self._unload(version)
        self._loaders.shutdown(cancel_futures=True)
        with self._condition:
            for version in versions:
                if version.state is State.AVAILABLE:
                    self._unload(version)
            self._condition.wait_for(lambda: all(version.state is not State.UNLOADING for version in versions))
        self._unloaders.shutdown()

    def _act(self, model: str) -> None:
        """Takes the steps that are due. It is called after each change, with the lock held."""
        known = self._models.get(model, {})
        wanted = [version for version in known.values() if version.wanted]
        available = [version for version in known.values() if version.state is State.AVAILABLE]
        surplus = sorted((version for version in available if not version.wanted), key=lambda version: version.number)
        if wanted and not any(version.wanted for version in available):
            # The last one that answers stays until one that is wanted does.
            surplus = surplus[:-1]
        for version in surplus:
            self._unload(version)
        for version in sorted(wanted, key=lambda version: -version.number):
            if version.state is State.START:
                self._enter(version, State.LOADING)
                self._loaders.submit(self._try, version)
        self._condition.notify_all()

    def _try(self, version: _ManagedVersion[_S]) -> None:
        with self._condition:
            path, wanted = version.path, version.wanted
        before = stamp(path)
        servable, error = None, None
        if wanted:
            try:
                servable = self._load(version.model, version.number, path)
            except Exception as failure:
                error = from_exception(failure)
            metrics.record_load(str(path), error.name if error else "OK")
        with self._condition:
            if servable is not None:
                version.servable, version.error, version.failed_stamp = servable, None, None
                self._enter(version, State.AVAILABLE)
            elif error is not None:
                self._fail(version, error, before)
            else:
                self._enter(version, State.END)
            if not self._stopped:
                self._act(version.model)

    def _fail(self, version: _ManagedVersion[_S], error: StatusError, before: Stamp) -> None:
        version.error, version.failed_stamp = error, before
        version.attempts += 1
        if not version.wanted or self._stopped or version.attempts > self._retries.number:
            self._enter(version, State.END)
            return
        self._observe(version)
        version.retry = Timer(max(self._retries.seconds, 0), self._retry, [version])
        version.retry.daemon = True
        version.retry.start()

    def _retry(self, version: _ManagedVersion[_S]) -> None:
        with self._condition:
            # A retry may be cancelled too late to stop the timer, but not too late to be seen here.
            if version.retry is not None and not self._stopped:
                version.retry = None
                self._loaders.submit(self._try, version)

    def _want_again(self, version: _ManagedVersion[_S], path: Path) -> None:
        failed = version.failed_stamp is not None and (version.state is State.END or version.retry is not None)
        changed = failed and stamp(path) != version.failed_stamp
        again = version.state is State.END and (not version.wanted or version.error is None)
        version.wanted, version.path = True, path
        if changed or again:
            self._cancel_retry(version)
            version.attempts, version.failed_stamp, version.error = 0, None, None
            self._enter(version, State.START)

    def _want_no_longer(self, version: _ManagedVersion[_S]) -> None:
        version.wanted = False
        if self._cancel_retry(version) or version.state is State.START:
            self._enter(version, State.END)

    def _cancel_retry(self, version: _ManagedVersion[_S]) -> bool:
        if version.retry is None:
            return False
        version.retry.cancel()
        version.retry = None
        return True

    def _unload(self, version: _ManagedVersion[_S]) -> None:
        self._enter(version, State.UNLOADING)
        self._close_if_unused(version)

    def _close_if_unused(self, version: _ManagedVersion[_S]) -> None:
        if version.state is State.UNLOADING and version.users == 0 and version.servable is not None:
            servable, version.servable = version.servable, None
            self._unloaders.submit(self._close, version, servable)

    def _close(self, version: _ManagedVersion[_S], servable: _S) -> None:
        try:
            servable.close()
        finally:
            with self._condition:
                self._enter(version, State.END)
                if version.wanted and not self._stopped:
                    self._enter(version, State.START)
                self._act(version.model)

    def _available(self, model: str, number: int | None) -> _ManagedVersion[_S]:
        known = self._models.get(model, {})
        numbers = [version.number for version in known.values() if version.state is State.AVAILABLE]
        if number is None and numbers:
            return known[max(numbers)]
        if number in numbers:
            return known[number]
        request = f"Latest({model})" if number is None else f"Specific({model}, {number})"
        raise not_found(f"Servable not found for request: {request}")

    def _failures(self, model: str) -> list[VersionStatus]:
        """The versions that are wanted, if all of them failed for good."""
        wanted = [version for version in self._models.get(model, {}).values() if version.wanted]
        if all(version.state is State.END for version in wanted):
            return [self._status(version) for version in wanted]
        return []

    def _enter(self, version: _ManagedVersion[_S], state: State) -> None:
        version.state = state
        self._observe(version)

    def _observe(self, version: _ManagedVersion[_S]) -> None:
        self._observer(self._status(version))
        self._condition.notify_all()

    @staticmethod
    def _status(version: _ManagedVersion[_S]) -> VersionStatus:
        return VersionStatus(version.model, version.number, version.state, version.error)
