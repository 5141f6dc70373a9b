"""An MLflow tracking server, by the parts of its REST API that are needed (https://mlflow.org/docs/latest/rest-api.html)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from pipeline.errors import ConveyorError

TOKEN, USER, PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
PROXIED = "mlflow-artifacts"
"""The scheme of artifacts that the server itself takes in and hands out."""

_API = "/api/2.0/mlflow/"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_CONNECT_SECONDS, _ANSWER_SECONDS, _UPLOAD_SECONDS = 3.0, 10.0, 120.0
_PAGE = 200
_PASSING = (429, 500, 502, 503, 504)


class TrackingError(ConveyorError):
    """A tracking server is away, or does not take what it is sent.

    Attributes:
      code: MLflow's own code of the error, such as `RESOURCE_DOES_NOT_EXIST`; empty where it gave none.
      is_general: whether other runs would meet it, too.
    """

    headline = "Tracking"
    code = ""
    is_general = True


class TrackingServer:
    """A tracking server.

    Args:
      uri: its address.
      seconds: how long all calls may take together.
    """

    def __init__(self, uri: str, seconds: float) -> None:
        self.uri = uri.rstrip("/")
        self._end = time.monotonic() + seconds
        token, user = os.environ.get(TOKEN), os.environ.get(USER)
        # As bytes: httpx refuses text that is not ASCII, and the server is to judge a token.
        headers = {b"Authorization": f"Bearer {token}".encode()} if token else {}
        # A token goes before a user, as with MLflow's own client.
        auth = (user, os.environ.get(PASSWORD, "")) if user and not token else None
        self._http = httpx.Client(headers=headers, auth=auth)

    def __enter__(self) -> TrackingServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Asks for something.

        Args:
          path: behind the API's own, such as `experiments/get-by-name`.
          query: the parameters; empty ones are left out.

        Raises:
          TrackingError: the server is away, or does not answer that.
        """
        return self._json("GET", path, params={name: value for name, value in query.items() if value != ""})

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        """Sends something; arguments are fields of a JSON object, errors are those of `get`."""
        return self._json("POST", path, json=fields)

    def delete(self, path: str, **fields: Any) -> None:
        """Deletes something; arguments are fields of a JSON object, errors are those of `get`."""
        self._json("DELETE", path, json=fields)

    def pages(self, path: str, key: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """All of a list, page by page; errors are those of `get`.

        Args:
          path: behind the API's own.
          key: the name of the list in the answer.
          query: the parameters.
        """
        token = ""
        while True:
            answer = self.get(path, max_results=_PAGE, page_token=token, **query)
            yield from answer.get(key, ())
            token = answer.get("next_page_token", "")
            if not token:
                return

    def upload(self, root: str, name: str, content: Path | bytes) -> None:
        """Gives the server a file that belongs to a run.

        Args:
          root: the address of the run's artifacts, of the scheme `mlflow-artifacts`.
          name: where the file is to be under it.
          content: the file, or what is to be in it.

        Raises:
          TrackingError: the server is away, or does not take it.
          OSError: the file cannot be read.
        """
        path = _ARTIFACTS + quote(f"{urlsplit(root).path.strip('/')}/{name}")
        if isinstance(content, bytes):
            self._ask("PUT", path, _UPLOAD_SECONDS, content=content)
            return
        with content.open("rb") as file:
            length = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            self._ask("PUT", path, _UPLOAD_SECONDS, content=file, headers=length)

    def _json(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        response = self._ask(method, _API + path, _ANSWER_SECONDS, **sent)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._not_mlflow(f"{response.status_code}, {response.headers.get('content-type', 'no content type')}")
        return answer

    def _ask(self, method: str, path: str, seconds: float, **sent: Any) -> httpx.Response:
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._away("the time for all of it was over")
        timeout = httpx.Timeout(min(left, seconds), connect=min(left, _CONNECT_SECONDS))
        try:
            response = self._http.request(method, self.uri + path, timeout=timeout, **sent)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._away(str(error) or type(error).__name__) from error
        if not response.is_success:
            raise self._refused(response)
        return response

    def _refused(self, response: httpx.Response) -> TrackingError:
        code, message = _told(response)
        seen = f"{response.status_code} {code or response.reason_phrase}{f': {message}' if message else ''}"
        if response.status_code in (401, 403):
            given = TOKEN if os.environ.get(TOKEN) else USER if os.environ.get(USER) else ""
            return TrackingError(
                "The tracking server lets nobody in who does not say who they are."
                if not given
                else f"The tracking server refuses what {given} says.",
                where=self.uri,
                expected="a user or a token that may write to the experiment",
                seen=seen,
                fix=f"Set {TOKEN}, or {USER} and {PASSWORD}; in pods by kubeflow.environment. Then: conveyor track",
            )
        if response.status_code in _PASSING:
            return self._away(seen)
        if not code:
            return self._not_mlflow(seen)
        error = TrackingError(
            "The tracking server does not take what it was sent.",
            where=f"{self.uri}, {response.request.url.path}",
            seen=seen[:500],
            fix="Correct what it names. Then: conveyor track",
        )
        error.code, error.is_general = code, False
        return error

    def _away(self, seen: str) -> TrackingError:
        return TrackingError(
            "The tracking server does not answer.",
            where=self.uri,
            seen=seen,
            fix="Nothing is lost: the next run sends what was missed, or: conveyor track",
        )

    def _not_mlflow(self, seen: str) -> TrackingError:
        return TrackingError(
            "This is not an MLflow tracking server.",
            where=self.uri,
            expected="an answer of MLflow's REST API 2.0",
            seen=seen,
            fix="Correct tracking.mlflow.uri: the address that shows MLflow's page, with its path where it has one.",
        )


def _told(response: httpx.Response) -> tuple[str, str]:
    """MLflow's code and message of an error; empty where the answer is not MLflow's."""
    try:
        answer: Mapping[str, Any] = response.json()
        return str(answer.get("error_code", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        return "", ""
