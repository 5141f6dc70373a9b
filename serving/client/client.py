"""The client of a model server: raw rows in, predictions out; over gRPC or REST, in threads or in asyncio.

with Client("grpc://localhost:8500/flights") as client:
    print(client.predict([{"carrier": "UA", "distance": 1400}]))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.features import ModelFeature, Row
from serving.client.predictions import Prediction
from serving.client.request_flow import RequestFlow, Result, ServerProtocol, Steps
from serving.client.retry import Deadline
from serving.client.schema import ModelSchema

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_ROWS = 1024
"""Rows of one call unless told otherwise: more are asked in several calls, one after the other."""

TIMEOUT_SECONDS = 10.0
"""For a call of a client with all of its attempts and parts, unless told otherwise."""


class Transport(Protocol):
    """Takes the calls of a protocol to the server, keeps the connections, and tries again while the server is away."""

    def send(self, call: Any, deadline: Deadline) -> Any:
        """The reply to a call."""

    def close(self) -> None:
        """Closes the connections."""


class _AsyncTransport(Protocol):
    """The same for asyncio."""

    async def send(self, call: Any, deadline: Deadline) -> Any: ...

    async def close(self) -> None: ...


class Client:
    """A served model. Connections are made by the first call, kept, and closed by `close` or a `with`.

    Threads may share a client. A server that is unavailable is asked again, up to five times, with growing random pauses.

    Args:
      address: `grpc://HOST:PORT/MODEL` or `http://HOST:PORT/v1/models/MODEL`, and behind either `/versions/N` or
        `/labels/LABEL` for a version other than the newest.
      timeout: seconds that each call of this client may take.
      max_rows: the most rows that are sent at once.
      transport: what takes the calls to the server; by default connections to the address.

    Raises:
      UsageError: the address cannot be understood.
    """

    def __init__(
        self,
        address: str | Address,
        *,
        timeout: float = TIMEOUT_SECONDS,
        max_rows: int = MAX_ROWS,
        transport: Transport | None = None,
    ) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self._timeout = timeout
        self._flow = RequestFlow(self.address, _protocol(self.address), max_rows)
        self._transport = transport or _transport(self.address)

    def predict(self, rows: Sequence[Row], *, timeout: float | None = None, explain: bool = False) -> list[Prediction]:
        """Predictions for raw rows, in their order.

        Args:
          rows: values by feature, in any form that `ModelFeature.encode` takes; a feature that a row lacks is missing.
          timeout: seconds that this call may take; the client's when None.
          explain: whether each prediction comes with its explanation, for which the model is asked about hundreds of rows.

        Raises:
          NotExplainableError: `explain` is true, and the model carries no rows to compare with.
          FeatureError: a row does not suit the model; the message names row and feature. Nothing was predicted.
          ServerAwayError: no server answers.
          DeadlineError: no answer came in time.
          UnknownModelError: the server does not serve the model, or not this version of it.
          RejectedError: the server refused the rows.
          ServingError: the server failed.
        """
        return self._run(self._flow.predict(rows, explain=explain), timeout)

    def schema(self, *, timeout: float | None = None) -> ModelSchema:
        """The features that the model takes, as the server says now; the errors are those of `predict`."""
        return self._run(self._flow.schema(), timeout)

    def versions(self, *, timeout: float | None = None) -> dict[int, str]:
        """The state of each version of the model, such as AVAILABLE; the errors are those of `predict`."""
        return self._run(self._flow.versions(), timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, steps: Steps[Result], timeout: float | None) -> Result:
        deadline = Deadline(self._timeout if timeout is None else timeout, str(self.address))
        try:
            call = next(steps)
            while True:
                try:
                    reply = self._transport.send(call, deadline)
                except ConveyorError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as done:
            return done.value


class AsyncClient:
    """`Client` for asyncio, closed by `await close()` or an `async with`. It belongs to one event loop."""

    def __init__(self, address: str | Address, *, timeout: float = TIMEOUT_SECONDS, max_rows: int = MAX_ROWS) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self._timeout = timeout
        self._flow = RequestFlow(self.address, _protocol(self.address), max_rows)
        self._transport = _async_transport(self.address)

    async def predict(
        self,
        rows: Sequence[Row],
        *,
        timeout: float | None = None,
        encoded: Mapping[str, ModelFeature] | None = None,
        explain: bool = False,
    ) -> list[Prediction]:
        """Predictions for rows, in their order; the other arguments and the errors are those of `Client.predict`.

        Args:
          rows: raw rows, or encoded ones.
          timeout: the number of seconds that this call may take; the client's when None.
          encoded: the features for which the values have been encoded already, where they have: they are not encoded again.
          explain: whether each prediction comes with its explanation.
        """
        return await self._run(self._flow.predict(rows, encoded, explain=explain), timeout)

    async def schema(self, *, timeout: float | None = None) -> ModelSchema:
        """The features that the model takes, as the server says now; the errors are those of `Client.predict`."""
        return await self._run(self._flow.schema(), timeout)

    async def versions(self, *, timeout: float | None = None) -> dict[int, str]:
        """The state of each version of the model, such as AVAILABLE; the errors are those of `Client.predict`."""
        return await self._run(self._flow.versions(), timeout)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result], timeout: float | None) -> Result:
        deadline = Deadline(self._timeout if timeout is None else timeout, str(self.address))
        try:
            call = next(steps)
            while True:
                try:
                    reply = await self._transport.send(call, deadline)
                except ConveyorError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as done:
            return done.value


# Each protocol is imported where an address asks for it: gRPC and httpx take their time.
def _protocol(address: Address) -> ServerProtocol:
    if address.is_rest:
        from serving.client.rest import RestProtocol

        return RestProtocol(address)
    from serving.client.grpc import GrpcProtocol

    return GrpcProtocol(address)


def _transport(address: Address) -> Transport:
    if address.is_rest:
        from serving.client.rest import RestTransport

        return RestTransport(address)
    from serving.client.grpc import GrpcTransport

    return GrpcTransport(address)


def _async_transport(address: Address) -> _AsyncTransport:
    if address.is_rest:
        from serving.client.rest import AsyncRestTransport

        return AsyncRestTransport(address)
    from serving.client.grpc import AsyncGrpcTransport

    return AsyncGrpcTransport(address)
