"""The REST interface without its port: a reply to a method, a path and a body."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from serving import tracing
from serving.modelserver.inference.predict import DEFAULT_SIGNATURE, SIGNATURE_DEF, run
from serving.modelserver.protocol.dataplane import DataPlane
from serving.modelserver.protocol.rest import json_document, json_inputs, json_outputs
from serving.modelserver.status import StatusError, failed_precondition, invalid_argument

_LOG = logging.getLogger(__name__)
# As tensorflow_serving/model_servers/http_rest_api_util.cc has them.
_ANY = re.compile(r"/v1/.*", re.IGNORECASE)
_MODEL = r"([^/:]+)", r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_ASK = re.compile(rf"/v1/models/{_MODEL[0]}{_MODEL[1]}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_LOOK = re.compile(rf"/v1/models(?:/{_MODEL[0]})?{_MODEL[1]}(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
_MAX_VERSION = 2**63 - 1
_MAX_VERSION_DIGITS = 19
_ZLIB_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


class TooLargeError(Exception):
    """A request has more bytes than it may have."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response.

    Attributes:
      status: the HTTP status code.
      body: the text.
      media_type: the body's media type.
      headers: further headers.
    """

    status: int
    body: str
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def failure(error: StatusError) -> Reply:
    """The reply for an error."""
    return Reply(error.http_code, json_outputs.failure(error))


def too_large(max_bytes: int) -> Reply:
    """The reply to a request that has more bytes than it may have."""
    problem = invalid_argument(f"The request has more than {max_bytes} bytes, also uncompressed (--max_request_bytes)")
    return Reply(413, json_outputs.failure(problem))


@dataclass
class _Request:
    method: str
    target: str
    body: bytes
    deadline: float | None
    take: Callable[[int], None]
    spec: model_pb2.ModelSpec = field(default_factory=model_pb2.ModelSpec)
    # classify, regress or predict; empty for a question about the model.
    api: str = ""
    wants_metadata: bool = False


class RestApi:
    """Answers requests, one a call; threads may call it at once.

    Args:
      dataplane: answers the calls.
    """

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane
        self._cors = dataplane.core.flags.rest_api_enable_cors_support
        self._max_bytes = dataplane.core.flags.max_request_bytes

    def answer(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: dict[str, str],
        deadline: float | None = None,
        take: Callable[[int], None] = lambda num_bytes: None,
    ) -> Reply:
        """Answers a request.

        Args:
          method: such as POST.
          target: path and query, percent-encoded.
          body: as it was sent, compressed if Content-Encoding says gzip.
          headers: the request's headers, their names in lower case.
          deadline: the time to give up, on the clock of time.monotonic().
          take: is called with the bytes that reading the body is going to take; may raise a StatusError.
        """
        if not _ANY.fullmatch(target):
            return Reply(404, _NOT_FOUND, "text/html")
        request = _Request(method, target, body, deadline, take)
        extra = _CORS if self._cors else {}
        try:
            if "gzip" in headers.get("content-encoding", ""):
                request.body = _uncompress(body, self._max_bytes)
            return Reply(200, self._counted_answer(request, headers), headers=extra)
        except TooLargeError:
            return too_large(self._max_bytes)
        except StatusError as error:
            # Nobody reads the body of an answer to a preflight.
            return Reply(error.http_code, "" if method == "OPTIONS" else json_outputs.failure(error), headers=extra)

    def _counted_answer(self, request: _Request, headers: dict[str, str]) -> str:
        try:
            _parse_target(request)
            problem = None
        except StatusError as error:
            problem = error
        with self._dataplane.counted(request.spec.name, request.api, "REST"):
            if problem is not None:
                raise problem
            if request.method == "OPTIONS":
                return _preflight(headers)
            try:
                return self._answer(request)
            except StatusError:
                raise
            except RecursionError:
                raise invalid_argument("The request is nested too deeply.") from None
            except Exception:
                _LOG.exception("A request failed.")
                raise

    def _answer(self, request: _Request) -> str:
        if request.api == "predict":
            return self._predict(request)
        if request.api:
            document = _document(request)
            request.spec.signature_name = json_inputs.signature_name(document)
            given = {"model_spec": request.spec, "input": json_inputs.examples(document)}
            if request.api == "classify":
                classify = classification_pb2.ClassificationRequest(**given)
                return json_outputs.classifications(self._dataplane.classify(classify, request.deadline).result)
            regress = regression_pb2.RegressionRequest(**given)
            return json_outputs.regressions(self._dataplane.regress(regress, request.deadline).result)
        if not request.spec.name:
            raise invalid_argument("Missing model name in request.")
        if request.wants_metadata:
            metadata = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=request.spec, metadata_field=[SIGNATURE_DEF])
            return json_outputs.metadata(self._dataplane.model_metadata(metadata))
        status = get_model_status_pb2.GetModelStatusRequest(model_spec=request.spec)
        return json_outputs.status(self._dataplane.model_status(status))

    def _predict(self, request: _Request) -> str:
        document = _document(request)
        spec = request.spec
        spec.signature_name = json_inputs.signature_name(document)
        # One version from reading the request to writing the answer, whatever is loaded meanwhile.
        with self._dataplane.core.use(spec) as servable:
            name = spec.signature_name or DEFAULT_SIGNATURE
            if name not in servable.signatures:
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            wanted = dict(servable.signatures[name].inputs)
            if not wanted:
                shown = spec.signature_name or "DEFAULT"
                raise invalid_argument(f"Failed to get input map for signature: {shown}")
            inputs, format = json_inputs.predict_inputs(document, wanted)
            check_method = self._dataplane.core.flags.enable_signature_method_name_check
            with tracing.inner_span("run model", {"model": spec.name}):
                outputs = run(servable, spec, inputs, deadline=request.deadline, check_method=check_method)
        return json_outputs.predictions(outputs, format)


def _parse_target(request: _Request) -> None:
    """Reads model, version or label, and the call from a path."""
    if request.method == "OPTIONS":
        return
    pattern = {"POST": _ASK, "GET": _LOOK}.get(request.method)
    found = pattern.fullmatch(request.target) if pattern else None
    if found is None:
        raise invalid_argument(f"Malformed request: {request.method} {request.target}")
    name, version, label, rest = found.groups()
    request.spec.name = unquote(name or "")
    if request.method == "POST":
        # A path in capitals is a path, but no call has such a name.
        if rest != rest.lower():
            raise invalid_argument(f"Malformed request: {request.method} {request.target}")
        request.api = rest
    else:
        request.wants_metadata = rest == "metadata"
    if version:
        if len(version) > _MAX_VERSION_DIGITS or int(version) > _MAX_VERSION:
            raise invalid_argument(f"Failed to convert version: {version} to numeric.")
        request.spec.version.value = int(version)
    if label:
        request.spec.version_label = unquote(label)


def _preflight(headers: dict[str, str]) -> str:
    if not re.search("https?://", headers.get("origin", "")):
        raise failed_precondition("Origin header is missing in CORS preflight")
    return ""


def _document(request: _Request) -> dict[str, Any]:
    request.take(json_document.num_bytes(request.body))
    return json_document.parse(request.body)


def _uncompress(body: bytes, max_bytes: int) -> bytes:
    """The body as TensorFlow Serving reads it: empty, if it is not gzip.

    Raises:
      TooLargeError: it becomes too large.
    """
    reader = zlib.decompressobj(_ZLIB_WITH_GZIP_HEADER)
    try:
        text = reader.decompress(body, max_bytes + 1)
    except zlib.error:
        return b""
    if len(text) > max_bytes:
        raise TooLargeError
    return text if reader.eof else b""
