"""TF Serving's REST interface: its requests, and the transports that carry them."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pipeline.errors import ConveyorError
from serving import tracing
from serving.client import failures
from serving.client.address import Address
from serving.client.features import Columns, Value, Values
from serving.client.predictions import Answer
from serving.client.retry import Deadline
from serving.client.schema import ModelSchema, read_schema
from serving.errors import ServerAwayError, ServingError

_UNAVAILABLE, _TOO_LATE = 503, 504


@dataclass(frozen=True)
class Call:
    """One request: a GET, or a POST where it has a body."""

    url: str
    body: bytes | None = None


class RestProtocol:
    """Calls and replies as requests and documents of TF Serving's REST API.

    No answer names the version that it is from: the version is looked up before, and then asked by its number.
    """

    names_version = False

    def __init__(self, address: Address) -> None:
        self._address = address

    def schema_call(self) -> Call:
        """A request for the model's metadata."""
        return Call(f"{self._address}/metadata")

    def read_schema(self, reply: Any) -> ModelSchema:
        """The schema in its reply."""
        from google.protobuf import json_format

        from serving.protocol import SignatureDefMap

        signatures = SignatureDefMap()
        with _Expected("a model's metadata", reply):
            json_format.ParseDict(reply["metadata"]["signature_def"], signatures, ignore_unknown_fields=True)
            return read_schema(int(reply["model_spec"]["version"]), signatures, self._address.model)

    def versions_call(self) -> Call:
        """A request for the model's status."""
        return Call(self._address.model_url)

    def read_versions(self, reply: Any) -> dict[int, str]:
        """The states in its reply, by version."""
        with _Expected("the states of a model's versions", reply):
            return {int(status["version"]): status["state"] for status in reply["model_version_status"]}

    def predict_call(self, schema: ModelSchema, columns: Columns) -> Call:
        """A request for predictions in column format."""
        inputs = {name: [_to_json(value) for value in values] for name, values in columns.items()}
        # NaN is not JSON, but TF Serving takes it.
        body = json.dumps({"signature_name": schema.signature, "inputs": inputs}, ensure_ascii=False).encode()
        return Call(f"{self._address.model_url}/versions/{schema.version}:predict", body)

    def read_answer(self, reply: Any, schema: ModelSchema) -> Answer:
        """The answer in its reply."""
        with _Expected("a model's outputs", reply):
            outputs = reply["outputs"]
            # A single output comes without its name.
            named = outputs if isinstance(outputs, dict) else {next(iter(schema.outputs)): outputs}
            return Answer(schema.version, {name: _rows(values, schema.outputs[name]) for name, values in named.items()})


class _Expected:
    """Turns the errors of reading a reply of another form into a ServingError."""

    def __init__(self, expected: str, reply: Any) -> None:
        self._expected, self._reply = expected, reply

    def __enter__(self) -> None:
        """Has nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Turns only the errors that a reply of another form causes."""
        from google.protobuf.json_format import ParseError

        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | OverflowError | struct.error | ParseError):
            raise ServingError(
                "What answers is not a model server.", expected=self._expected, seen=json.dumps(self._reply)[:200]
            ) from error


def _to_json(value: Value | Values) -> Any:
    if isinstance(value, list):
        return [_to_json(each) for each in value]
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
    """The outcome of one attempt: a reply, or an error."""

    def __init__(self, address: Address, deadline: Deadline) -> None:
        self._address, self._deadline = address, deadline

    def reply(self, status: int, content: bytes) -> Any:
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if httpx.codes.is_success(status) and document is not None:
            return document
        message = document.get("error") if isinstance(document, dict) else None
        text = content.decode(errors="replace").strip()[:200]
        raise self._failure(status, message or text, is_tf_serving=message is not None)

    def failed(self, error: Exception) -> ConveyorError:
        if isinstance(error, (httpx.TimeoutException, asyncio.TimeoutError)):
            return self._deadline.error()
        return failures.server_away(self._address, str(error) or type(error).__name__)

    def _failure(self, status: int, message: str, *, is_tf_serving: bool) -> ConveyorError:
        if status == _TOO_LATE:
            return self._deadline.error()
        if status == _UNAVAILABLE:
            return failures.server_away(self._address, message)
        if not is_tf_serving:
            return failures.not_a_model_server(self._address, "TF Serving's REST API", f"HTTP {status}: {message}")
        if status == httpx.codes.NOT_FOUND:
            return failures.not_served(self._address, message)
        if httpx.codes.is_client_error(status):
            return failures.refused(self._address, message)
        return failures.server_failed(self._address, f"HTTP {status}: {message}")


class RestTransport:
    """Keeps connections, and tries again while the server is away."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = httpx.Client(headers={"Content-Type": "application/json"})

    def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call. A call changes nothing, so it may be sent again.

        Raises:
          ConveyorError: there is none.
        """
        attempt, pauses = _Attempt(self._address, deadline), deadline.pauses()
        while True:
            try:
                with (
                    tracing.client_span(*_described(call)),
                    self._http.stream(**_request(call), extensions={"timeout": _TimeLeft(deadline)}) as response,
                ):
                    content = bytearray()
                    for part in response.iter_bytes():
                        content += part
                        deadline.remaining()
                    return attempt.reply(response.status_code, bytes(content))
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


class AsyncRestTransport:
    """`RestTransport` for asyncio."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = httpx.AsyncClient(headers={"Content-Type": "application/json"})

    async def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call. A call changes nothing, so it may be sent again.

        Raises:
          ConveyorError: there is none.
        """
        attempt, pauses = _Attempt(self._address, deadline), deadline.pauses()
        while True:
            try:
                with tracing.client_span(*_described(call)):
                    seconds = deadline.remaining()
                    response = await asyncio.wait_for(self._http.request(**_request(call), timeout=None), seconds)
                    return attempt.reply(response.status_code, response.content)
            except (httpx.HTTPError, asyncio.TimeoutError) as error:
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


class _TimeLeft(dict[str, float]):
    """What httpx may wait for a connection, for its turn to write and for an answer: what is left when it begins to."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def get(self, key: str, default: Any = None) -> float:
        return self._deadline.remaining()


def _request(call: Call) -> dict[str, Any]:
    method = "GET" if call.body is None else "POST"
    return {"method": method, "url": call.url, "content": call.body, "headers": tracing.headers()}


def _described(call: Call) -> tuple[str, dict[str, str]]:
    """The name and the attributes of the span of one attempt."""
    method = "GET" if call.body is None else "POST"
    return method, {"http.request.method": method, "url.full": call.url}
