"""The versions that a running model server has loaded, and those that its labels name."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from pipeline.errors import ConveyorError
from serving.errors import ServingError

_CALL_SECONDS = 5.0
# A proxy that this process has for what is outside knows neither pods nor this machine's ports.
_OPTIONS = (("grpc.enable_http_proxy", 0),)
# The share of the time to wait after which the server has tried once more to load a version that failed before.
_PATIENCE = 1 / 6
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 1.0, 1.5


@dataclass(frozen=True)
class Loading:
    """The state of a version in a model server, such as AVAILABLE, and the error if it could not be loaded."""

    state: str
    error: str = ""

    @property
    def is_available(self) -> bool:
        """Whether it answers."""
        return self.state == "AVAILABLE"

    def __str__(self) -> str:
        return f"{self.state}, {self.error}" if self.error else self.state


class RunningServer:
    """TensorFlow Serving, or `conveyor serve`, at an address.

    Args:
      address: host:port of its gRPC interface.
      model: the model's name.
    """

    def __init__(self, address: str, model: str) -> None:
        self.address, self._model = address, model

    def versions(self) -> dict[int, Loading] | None:
        """The versions that the server knows, by number; None when nothing answers at the address.

        Raises:
          ServingError: another program answers, or a server that does not serve the model.
        """
        from serving.protocol import GetModelStatusRequest, ModelServiceStub, ModelSpec, ModelVersionStatus

        request = GetModelStatusRequest(model_spec=ModelSpec(name=self._model))
        try:
            reply = self._call(lambda channel: ModelServiceStub(channel).GetModelStatus, request)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return None
            raise ServingError(
                f"What answers at {self.address} does not serve {self._model}.",
                where=self.address,
                seen=f"{error.code().name}: {error.details()}",
                fix="Start the model server with conveyor serve, or name another with --server HOST:PORT.",
            ) from error
        return {
            each.version: Loading(ModelVersionStatus.State.Name(each.state), each.status.error_message)
            for each in reply.model_version_status
        }

    def labelled(self, label: str) -> int | None:
        """The version that a label names; None if it names none."""
        from serving.protocol import GetModelMetadataRequest, ModelSpec, PredictionServiceStub

        request = GetModelMetadataRequest(
            model_spec=ModelSpec(name=self._model, version_label=label), metadata_field=["signature_def"]
        )
        try:
            reply = self._call(lambda channel: PredictionServiceStub(channel).GetModelMetadata, request)
        except grpc.RpcError:
            return None
        return int(reply.model_spec.version.value)

    def wait_until_loaded(self, wanted: Collection[int], seconds: float, before: Mapping[int, Loading]) -> None:
        """Waits until versions answer.

        Args:
          wanted: the versions.
          seconds: the longest time to wait.
          before: the states before the server's configuration changed, to tell an old failure from a new one.

        Raises:
          ServingError: a version cannot be loaded, or not in time.
        """
        known = dict(before)
        patience = time.monotonic() + seconds * _PATIENCE

        def missing() -> str:
            known.update(self.versions() or {})
            for number in sorted(wanted):
                loading = known.get(number, _UNKNOWN)
                is_new = loading != before.get(number) or time.monotonic() > patience
                if loading.error and is_new and not loading.is_available:
                    raise _not_loaded(self.address, number, loading.error)
            states = {number: known.get(number, _UNKNOWN) for number in sorted(wanted)}
            return ", ".join(f"version {number}: {each}" for number, each in states.items() if not each.is_available)

        seen = _wait(missing, seconds)
        if seen:
            raise ServingError(
                f"The model server did not load the versions that it has to serve within {seconds:g} s.",
                where=self.address,
                expected="a server that reads models.config again and again, as that of conveyor serve does",
                seen=seen,
                fix="The server's log says why. A large model may need a longer --timeout.",
            )

    def wait_until_labelled(self, labels: Mapping[str, int], seconds: float) -> None:
        """Waits until labels name versions.

        Args:
          labels: versions by label.
          seconds: the longest time to wait.

        Raises:
          ServingError: they do not in time.
        """

        def wrong() -> str:
            found = {label: self.labelled(label) for label in labels}
            return ", ".join(f"{label}: {found[label] or 'none'}" for label in labels if found[label] != labels[label])

        seen = _wait(wrong, seconds)
        if seen:
            raise ServingError(
                f"The model server did not move its labels within {seconds:g} s.",
                where=self.address,
                expected=", ".join(f"{label}: {version}" for label, version in labels.items()),
                seen=seen,
                fix="The server's log says why.",
            )

    def _call(self, method: Callable[[Any], Any], request: Any) -> Any:
        with grpc.insecure_channel(self.address, _OPTIONS) as channel:
            return method(channel)(request, timeout=_CALL_SECONDS)


def available(versions: Mapping[int, Loading]) -> list[int]:
    """The versions that answer, in ascending order."""
    return sorted(number for number, loading in versions.items() if loading.is_available)


_UNKNOWN = Loading("unknown to the server")


def _wait(problem: Callable[[], str], seconds: float) -> str:
    """Waits until a problem is gone, or the time is up; the problem that remains."""
    end, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while seen := problem():
        if time.monotonic() > end:
            return seen
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    return ""


def _not_loaded(address: str, version: int, error: str) -> ConveyorError:
    return ServingError(
        f"The model server cannot load version {version}.",
        where=address,
        seen=error,
        fix="Check with conveyor models whether its files are whole. The server's log says more.",
    )
