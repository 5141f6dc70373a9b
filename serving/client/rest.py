"""TF Serving's REST protocol: requests, and who carries them."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pipeline.contracts.model import COLUMNS_SIGNATURE
from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.features import Value
from serving.client.predictions import Answer
from serving.client.retry import Deadline
from serving.client.schema import ModelSchema, read_schema
from serving.errors import RejectedError, ServerAwayError, ServingError, UnknownModelError

_UNAVAILABLE, _TOO_LATE = 503, 504


@dataclass(frozen=True)
class Call:
    """One request: a GET, or a POST where it has a body."""

    url: str
    body: bytes | None = None


class RestDialect:
    """TF Serving's REST requests.

    No answer says which version it is from: the version is looked up before, and then asked by its number.
    """

    tells_version = False

    def __init__(self, address: Address) -> None:
        """Speaks of the model at an address."""
        self._address = address

    def ask_schema(self) -> Call:
        """See `Dialect`."""
        return Call(f"{self._address}/metadata")

    def read_schema(self, reply: Any) -> ModelSchema:
        """See `Dialect`."""
        from google.protobuf import json_format

        from serving.protocol import SignatureDefMap

        signatures = SignatureDefMap()
        with _Expected("a model's metadata", reply):
            json_format.ParseDict(reply["metadata"]["signature_def"], signatures, ignore_unknown_fields=True)
            return read_schema(int(reply["model_spec"]["version"]), signatures, self._address.model)

    def ask_versions(self) -> Call:
        """See `Dialect`."""
        return Call(self._address.model_url)

    def read_versions(self, reply: Any) -> dict[int, str]:
        """See `Dialect`."""
        with _Expected("the states of a model's versions", reply):
            return {int(status["version"]): status["state"] for status in reply["model_version_status"]}

    def ask_answer(self, schema: ModelSchema, columns: Mapping[str, Sequence[Value]]) -> Call:
        """See `Dialect`."""
        inputs = {name: [_to_json(value) for value in values] for name, values in columns.items()}
        # NaN is none of JSON's numbers, but TF Serving takes it.
        body = json.dumps({"signature_name": COLUMNS_SIGNATURE, "inputs": inputs}, ensure_ascii=False).encode()
        return Call(f"{self._address.model_url}/versions/{schema.version}:predict", body)

    def read_answer(self, reply: Any, schema: ModelSchema) -> Answer:
        """See `Dialect`."""
        with _Expected("a model's outputs", reply):
            outputs = reply["outputs"]
            # A single output comes without its name.
            named = outputs if isinstance(outputs, dict) else {next(iter(schema.outputs)): outputs}
            return Answer(schema.version, {name: _rows(values, schema.outputs[name]) for name, values in named.items()})


class _Expected:
    """Turns the surprises of reading a reply into a ServingError."""

    def __init__(self, expected: str, reply: Any) -> None:
        self._expected, self._reply = expected, reply

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Only what a reply of another form causes is turned."""
        from google.protobuf.json_format import ParseError

        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | OverflowError | struct.error | ParseError):
            raise ServingError(
                "What answers is no model server.", expected=self._expected, seen=json.dumps(self._reply)[:200]
            ) from error


def _to_json(value: Value) -> Any:
    if not isinstance(value, bytes):
        return value
    import base64

    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _rows(values: Sequence[Any], dtype: str) -> list[list[Any]]:
    rows = [value if isinstance(value, list) else [value] for value in values]
    if dtype != "DT_FLOAT":
        return rows
    # The float32 that was meant, as gRPC gives it.
    return [list(struct.unpack(f"<{len(row)}f", struct.pack(f"<{len(row)}f", *row))) for row in rows]


class _Attempt:
    """What one attempt came to: a reply, or an error."""

    def __init__(self, address: Address, deadline: Deadline) -> None:
        self._address, self._deadline = address, deadline

    def reply(self, response: httpx.Response) -> Any:
        try:
            document = json.loads(response.content)
        except ValueError:
            document = None
        if response.is_success and document is not None:
            return document
        message = document.get("error") if isinstance(document, dict) else None
        raise self._refused(response.status_code, message or response.text.strip()[:200], is_tf_serving=message is not None)

    def failed(self, error: httpx.HTTPError) -> ConveyorError:
        if isinstance(error, httpx.TimeoutException):
            return self._deadline.error()
        return self._away(str(error) or type(error).__name__)

    def _refused(self, status: int, message: str, *, is_tf_serving: bool) -> ConveyorError:
        where = str(self._address)
        if status == _TOO_LATE:
            return self._deadline.error()
        if status == _UNAVAILABLE:
            return self._away(message)
        if not is_tf_serving:
            return ServingError(
                f"What answers at {self._address.server} is no model server.",
                where=where,
                expected="TF Serving's REST API, as conveyor serve offers it",
                seen=f"HTTP {status}: {message}",
            )
        if status == httpx.codes.NOT_FOUND:
            return UnknownModelError(f"The server does not serve {where}.", where=where, seen=message)
        if httpx.codes.is_client_error(status):
            return RejectedError("The model server refused the request.", where=where, seen=message)
        return ServingError(
            "The model server failed.", where=where, seen=f"HTTP {status}: {message}", fix="see the server's log"
        )

    def _away(self, seen: str) -> ServerAwayError:
        return ServerAwayError(
            f"No model server answers at {self._address.server}.",
            where=str(self._address),
            seen=seen,
            fix="start one: conveyor serve; or name another: --address",
        )


class RestCarrier:
    """Connections that are kept."""

    def __init__(self, address: Address) -> None:
        """Connects on the first call."""
        self._address = address
        self._http = httpx.Client(headers={"Content-Type": "application/json"})

    def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call. Nothing is changed by one, so that it can be sent again.

        Raises:
          ConveyorError: there is none.
        """
        attempt, pauses = _Attempt(self._address, deadline), deadline.pauses()
        while True:
            try:
                return attempt.reply(self._http.send(_request(self._http.build_request, call, deadline)))
            except httpx.HTTPError as error:
                problem = attempt.failed(error)
            except ServerAwayError as error:
                problem = error
            pause = next(pauses, None) if isinstance(problem, ServerAwayError) else None
            if pause is None:
                raise problem
            time.sleep(pause)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()


class AsyncRestCarrier:
    """The same for asyncio."""

    def __init__(self, address: Address) -> None:
        """Connects on the first call."""
        self._address = address
        self._http = httpx.AsyncClient(headers={"Content-Type": "application/json"})

    async def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call. Nothing is changed by one, so that it can be sent again.

        Raises:
          ConveyorError: there is none.
        """
        attempt, pauses = _Attempt(self._address, deadline), deadline.pauses()
        while True:
            try:
                return attempt.reply(await self._http.send(_request(self._http.build_request, call, deadline)))
            except httpx.HTTPError as error:
                problem = attempt.failed(error)
            except ServerAwayError as error:
                problem = error
            pause = next(pauses, None) if isinstance(problem, ServerAwayError) else None
            if pause is None:
                raise problem
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


def _request(build: Callable[..., httpx.Request], call: Call, deadline: Deadline) -> httpx.Request:
    method = "GET" if call.body is None else "POST"
    return build(method, call.url, content=call.body, timeout=deadline.remaining())
