"""MLflow's tracking server as far as Conveyor speaks to it: REST API 2.0 over HTTP, with state.

It answers as `mlflow server` of release 3.17 does: what it refuses, with which code, and what it says of it.
"""

from __future__ import annotations

import itertools
import json
import posixpath
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_API, _ARTIFACTS = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts/"
_NAME = re.compile(r"[/\w.\- :]*")
_PAGE = 2
"""Answers have short pages, so that whoever asks for all of a list asks more than once."""


class RefusalError(Exception):
    """An answer that is an error: HTTP status, MLflow's code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _missing(what: str) -> RefusalError:
    return RefusalError(404, "RESOURCE_DOES_NOT_EXIST", f"{what} not found")


def _invalid(message: str) -> RefusalError:
    return RefusalError(400, "INVALID_PARAMETER_VALUE", message)


@dataclass
class MlflowServer:
    """The server and what it knows.

    Attributes:
      proxies: whether it takes in artifacts itself, and does not leave them to a store of objects.
      authorization: the header that callers must send; empty where anybody may come in.
      broken: the status that it answers everything with; None where it is well.
      refuses: a part of the paths that it refuses.
      experiments: experiments by name.
      runs: runs by id: `info`, `params`, `metrics` and `tags`.
      files: artifacts by path.
      models: versions of registered models, by name.
      aliases: the versions that have an alias, by name and alias.
      calls: methods and paths, in order.
    """

    proxies: bool = True
    authorization: str = ""
    broken: int | None = None
    refuses: str = ""
    experiments: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    uri: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, run_id: str) -> dict[str, Any]:
        """The run with Conveyor's id."""
        [found] = [run for run in self.runs.values() if run["tags"]["conveyor.run_id"] == run_id]
        return found

    def metrics(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Steps and values of a run's metrics, by name."""
        values: dict[str, list[tuple[int, float]]] = {}
        for name, step, _, value in sorted(self.run(run_id)["metrics"]):
            values.setdefault(name, []).append((step, value))
        return values

    def alias(self, name: str, alias: str) -> str | None:
        """As what the version with an alias was pushed."""
        number = self.aliases.get((name, alias))
        return next((each["tags"]["conveyor.version"] for each in self.models[name] if each["version"] == number), None)

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """The answer to a call."""
        split = urlsplit(path)
        if split.path.startswith(_ARTIFACTS) and method == "PUT":
            self.files[unquote(split.path.removeprefix(_ARTIFACTS))] = body
            return {}
        given = json.loads(body) if body else {name: values[0] for name, values in parse_qs(split.query).items()}
        operation = self._operations().get((method, split.path.removeprefix(_API)))
        if operation is None:
            raise RefusalError(404, "", "<h1>Not Found</h1>")
        return operation(given)

    def _operations(self) -> dict[tuple[str, str], Callable[[dict[str, Any]], dict[str, Any]]]:
        return {
            ("GET", "experiments/get-by-name"): self._get_experiment,
            ("POST", "experiments/create"): self._create_experiment,
            ("POST", "runs/search"): self._search_runs,
            ("POST", "runs/create"): self._create_run,
            ("POST", "runs/log-batch"): self._log,
            ("POST", "runs/update"): self._update_run,
            ("POST", "registered-models/create"): self._create_model,
            ("GET", "model-versions/search"): self._search_versions,
            ("POST", "model-versions/create"): self._create_version,
            ("POST", "registered-models/alias"): self._set_alias,
            ("DELETE", "registered-models/alias"): self._delete_alias,
        }

    def _get_experiment(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["experiment_name"] not in self.experiments:
            raise _missing(f"Could not find experiment with name '{given['experiment_name']}'")
        return {"experiment": self.experiments[given["experiment_name"]]}

    def _create_experiment(self, given: dict[str, Any]) -> dict[str, Any]:
        identity = str(next(self._numbers))
        self.experiments[given["name"]] = {"experiment_id": identity, "name": given["name"], "lifecycle_stage": "active"}
        return {"experiment_id": identity}

    def _search_runs(self, given: dict[str, Any]) -> dict[str, Any]:
        matches = [re.fullmatch(r"tags\.`([\w.]+)` = '([^']*)'", each) for each in given["filter"].split(" AND ")]
        assert all(matches), given["filter"]
        wanted = {match[1]: match[2] for match in matches if match}
        found = [
            run
            for run in self.runs.values()
            if run["info"]["experiment_id"] in given["experiment_ids"] and wanted.items() <= run["tags"].items()
        ]
        shown = [{"info": run["info"], "data": {"params": _as_list(run["params"])}} for run in found]
        return {"runs": shown[: given["max_results"]]} if shown else {}

    def _create_run(self, given: dict[str, Any]) -> dict[str, Any]:
        run_id = f"{next(self._numbers):032x}"
        root = "mlflow-artifacts:" if self.proxies else "s3://bucket"
        info = {
            "run_id": run_id,
            "experiment_id": given["experiment_id"],
            "run_name": given["run_name"],
            "status": "RUNNING",
            "start_time": given["start_time"],
            "artifact_uri": f"{root}/{given['experiment_id']}/{run_id}/artifacts",
        }
        self.runs[run_id] = {"info": info, "params": {}, "metrics": set(), "tags": _as_dict(given["tags"])}
        return {"run": {"info": info, "data": {}}}

    def _log(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[given["run_id"]]
        params, metrics, tags = (given.get(name, []) for name in ("params", "metrics", "tags"))
        if len(params) > 100 or len(tags) > 100 or len(metrics) > 1000:
            raise _invalid("A batch logging request can contain at most 100 params, 100 tags and 1000 metrics.")
        for each in (*params, *metrics):
            key = each["key"]
            if not _NAME.fullmatch(key) or posixpath.normpath(key) != key or key.startswith((".", "/")) or len(key) > 250:
                raise _invalid(f"Invalid value \"{key}\" for parameter 'key' supplied")
        for each in params:
            if len(each["value"]) > 6000:
                raise _invalid(f"Param value '{each['value']}' had length {len(each['value'])}")
            if run["params"].setdefault(each["key"], each["value"]) != each["value"]:
                raise _invalid(f"Changing param values is not allowed. Param with key='{each['key']}' was already logged")
        run["metrics"] |= {(each["key"], each["step"], each["timestamp"], each["value"]) for each in metrics}
        run["tags"] |= _as_dict(tags)
        return {}

    def _update_run(self, given: dict[str, Any]) -> dict[str, Any]:
        info = self.runs[given["run_id"]]["info"]
        info |= {name: value for name, value in given.items() if name != "run_id"}
        return {"run_info": info}

    def _create_model(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] in self.models:
            message = f"Registered Model (name={given['name']}) already exists."
            raise RefusalError(400, "RESOURCE_ALREADY_EXISTS", message)
        self.models[given["name"]] = []
        return {"registered_model": {"name": given["name"]}}

    def _search_versions(self, given: dict[str, Any]) -> dict[str, Any]:
        match = re.fullmatch(r"name='([^']*)'", given["filter"])
        assert match, given["filter"]
        newest_first, start = self.models.get(match[1], [])[::-1], int(given.get("page_token", 0))
        page = [{**each, "tags": _as_list(each["tags"])} for each in newest_first[start : start + _PAGE]]
        more = {"next_page_token": str(start + _PAGE)} if start + _PAGE < len(newest_first) else {}
        return {"model_versions": page, **more} if page else {}

    def _create_version(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] not in self.models:
            raise _missing(f"Registered Model with name={given['name']}")
        source, root = given["source"], self.runs[given["run_id"]]["info"]["artifact_uri"]
        split = urlsplit(source)
        if split.scheme in ("", "file") or (split.scheme == "mlflow-artifacts" and not source.startswith(f"{root}/")):
            raise _invalid(f"Invalid model version source: '{source}'.")
        versions = self.models[given["name"]]
        version = {**given, "version": str(len(versions) + 1), "tags": _as_dict(given["tags"])}
        versions.append(version)
        return {"model_version": {**version, "tags": given["tags"]}}

    def _set_alias(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["version"] not in {each["version"] for each in self.models.get(given["name"], [])}:
            raise _missing(f"Model Version (name={given['name']}, version={given['version']})")
        self.aliases[given["name"], given["alias"]] = given["version"]
        return {}

    def _delete_alias(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] not in self.models:
            raise _missing(f"Registered Model with name={given['name']}")
        self.aliases.pop((given["name"], given["alias"]), None)
        return {}

    @contextmanager
    def serving(self) -> Iterator[MlflowServer]:
        """Answers on a port of its own until the block ends."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.calls.append(f"{self.command} {urlsplit(self.path).path}")
                if server.authorization and self.headers.get("Authorization") != server.authorization:
                    self._send(401, b"You are not authenticated.", "text/html")
                elif server.broken is not None:
                    self._send(server.broken, b"<h1>Bad Gateway</h1>", "text/html")
                elif server.refuses and server.refuses in self.path:
                    self._send(400, json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "No."}).encode())
                else:
                    try:
                        self._send(200, json.dumps(server.answer(self.command, self.path, body)).encode())
                    except RefusalError as refusal:
                        error = {"error_code": refusal.code, "message": str(refusal)}
                        if refusal.code:
                            self._send(refusal.status, json.dumps(error).encode())
                        else:
                            self._send(refusal.status, str(refusal).encode(), "text/html")

            def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            http.daemon_threads = True
            self.uri = f"http://127.0.0.1:{http.server_port}"
            thread = threading.Thread(target=http.serve_forever, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                http.shutdown()
                thread.join()


def _as_dict(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in pairs}


def _as_list(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]
