"""Kubeflow Pipelines' API server as far as Conveyor speaks to it: v2beta1 over HTTP, with state, and runs that go on.

It answers as the server of release 2.17 does: names and states of a workflow's steps, times that have not come, errors.
Beside it, the pods of its runs, for a kubectl that reads them from a folder.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import yaml

from tests.fakes.identity import Identity

NOT_YET = {"run": "1970-01-01T00:00:00Z", "step": "0001-01-01T00:00:00Z"}
START = datetime(2026, 3, 1, 6, 0, tzinfo=timezone.utc)
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED")


class RefusalError(Exception):
    """An answer that is an error: HTTP status, gRPC code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Workflow:
    """A run at work: the tasks of its package, one after another, a step further with each look at it.

    Attributes:
      tasks: keys in the order in which they run; the exit task comes last, whatever became of the others.
      fails: keys of tasks whose pod fails.
      done: how many steps are behind it; each task has three: its driver at work, its pod at work, the pod's end.
    """

    run_id: str
    tasks: list[str]
    exit_task: str
    fails: set[str]
    done: int = 0
    told_to_stop: bool = False

    def advance(self, steps: int = 1) -> None:
        """Goes on by so many steps."""
        self.done += steps

    @property
    def state(self) -> str:
        """Of the run, as the API calls it."""
        if self.told_to_stop:
            return "FAILED" if self.done > 3 * len(self.tasks) else "CANCELING"
        if self.done == 0:
            return "PENDING"
        if self.done < 3 * len(self._running_order()):
            return "RUNNING"
        # A hook that fails does not fail its workflow.
        return "FAILED" if self.fails - {self.exit_task} else "SUCCEEDED"

    def _running_order(self) -> list[str]:
        """The tasks that get a pod: up to the first that fails, and the exit task."""
        order = []
        for key in self.tasks:
            order.append(key)
            if key in self.fails:
                break
        return [*order, self.exit_task]

    def steps(self) -> list[dict[str, Any]]:
        """As the API lists them: every step of the workflow, by name, without a pod's name or an error."""
        found = [self._step(name, *self._whole) for name in ("flights-x7k2p", "root", "exit-handler-1")]
        for number, key in enumerate(self._running_order()):
            progress = self.done - 3 * number
            start = 60 * number
            if progress <= 0:
                continue
            if progress == 1:
                found.append(self._step(f"{key}-driver", "RUNNING", start, None))
                continue
            found.append(self._step(f"{key}-driver", "SUCCEEDED", start, start + 10))
            ended = progress >= 3
            state = ("FAILED" if key in self.fails else "SUCCEEDED") if ended else "RUNNING"
            end = start + 50 if ended else None
            found += [self._step(key, state, start + 10, end), self._step("executor", state, start + 10, end)]
            found.append(self._step("executor(0)", state if ended else "PENDING", start + 10, end))
            if ended and key in self.fails and key in self.tasks:
                # Argo calls them Omitted, for which the API has no state.
                for other in self.tasks[self.tasks.index(key) + 1 :]:
                    found.append(self._step(f"{other}-driver", None, start + 50, start + 50))
                    found.append(self._step(other, None, start + 50, start + 50))
        return found

    @property
    def _whole(self) -> tuple[str, int, int | None]:
        """The state and the times of the steps that stand for the run as a whole."""
        return (self.state, 0, 600) if self.state in FINAL_STATES else ("RUNNING", 0, None)

    def _step(self, name: str, state: str | None, start: int, end: int | None) -> dict[str, Any]:
        if end is None and self.state in FINAL_STATES:
            state, end = "FAILED", start + 50
        step = {
            "run_id": self.run_id,
            "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.run_id}{name}")),
            "display_name": name,
            "create_time": moment(0),
            "start_time": moment(start),
            "end_time": NOT_YET["step"] if end is None else moment(end),
            "state": state,
            "child_tasks": [{"pod_name": f"flights-x7k2p-{crc32(name.encode())}"}],
        }
        return {key: value for key, value in step.items() if value is not None}


@dataclass
class KfpServer:
    """The server's state.

    Attributes:
      pipelines, versions, experiments, runs, schedules: by id, as the API shows them.
      workflows: by run id.
      fails: keys of tasks that fail in runs yet to be started.
      stride: by how many steps a run goes on with each look at it.
      recorded: answers about runs that a real server gave, in the place of this one's, by run id.
      faults: answers for the next requests, instead of the true ones: a status and a body.
      lost: requests, such as `POST /runs`, that are carried out, and whose answer is lost once: the caller gets status 504.
      requests: method and path of every request.
      identity: who is let through, on a Kubeflow with profiles; None: everybody, and namespaces do not count.
    """

    host: str = ""
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    stride: int = 1
    recorded: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    identity: Identity | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def replay(self, run_id: str, answer: dict[str, Any]) -> None:
        """Lets a run be from now on what a real server has answered about one."""
        self.recorded[run_id] = {key: value for key, value in answer.items() if key not in ("run_id", "display_name")}

    def finish(self, run_id: str) -> None:
        """Lets a run go on to its end."""
        while self.show(run_id)["state"] not in FINAL_STATES:
            self.workflows[run_id].advance()

    def show(self, run_id: str) -> dict[str, Any]:
        """A run as it stands."""
        if run_id not in self.runs:
            raise RefusalError(404, 5, f"Failed to get a run: ResourceNotFoundError: Run {run_id} not found.")
        run, workflow = self.runs[run_id], self.workflows[run_id]
        if run_id in self.recorded:
            return {**run, **self.recorded[run_id]}
        run["state"] = workflow.state
        run["run_details"] = {"task_details": workflow.steps()}
        if run["state_history"][-1]["state"] != run["state"]:
            run["state_history"].append({"update_time": moment(0), "state": run["state"]})
        if run["state"] in FINAL_STATES:
            run["finished_at"] = moment(600)
        return run

    # The paths of the API, in the order of its documentation. Each method gets the path's parts, the query and the body.

    def _create_pipeline(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        if any(each["name"] == body["name"] for each in self.pipelines.values()):
            raise RefusalError(409, 6, f"Failed to create a new pipeline. The name {body['name']} already exists.")
        made = {**body, "pipeline_id": str(uuid.uuid4()), "created_at": moment(0)}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def _get_pipeline_by_name(self, name: str, query: dict[str, str], **_: Any) -> dict[str, Any]:
        for each in self.pipelines.values():
            if each["name"] == name and self._within(each, query):
                return each
        raise RefusalError(404, 5, f"Failed to get a pipeline with name {name}: ResourceNotFoundError")

    def _upload_version(self, query: dict[str, str], file: str, **_: Any) -> dict[str, Any]:
        if query["pipelineid"] not in self.pipelines:
            raise RefusalError(400, 0, "Failed to create a pipeline version")
        spec, platform = documents(file)
        made = {
            "pipeline_id": query["pipelineid"],
            "pipeline_version_id": str(uuid.uuid4()),
            "name": query["name"],
            "display_name": query["name"],
            "created_at": moment(0),
            # Go writes the keys of a Struct in alphabetical order.
            "pipeline_spec": json.loads(json.dumps({"pipeline_spec": spec, "platform_spec": platform}, sort_keys=True)),
        }
        self.versions[made["pipeline_version_id"]] = made
        return made

    def _list_versions(self, pipeline_id: str, query: dict[str, str], **_: Any) -> dict[str, Any]:
        mine = [each for each in self.versions.values() if each["pipeline_id"] == pipeline_id]
        return page("pipeline_versions", mine, query)

    def _get_version(self, pipeline_id: str, version_id: str, **_: Any) -> dict[str, Any]:
        if version_id not in self.versions:
            raise RefusalError(404, 5, f"PipelineVersion {version_id} not found")
        return self.versions[version_id]

    def _create_experiment(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self._require_namespace(body, "An experiment")
        made = {**body, "experiment_id": str(uuid.uuid4()), "created_at": moment(0), "storage_state": "AVAILABLE"}
        self.experiments[made["experiment_id"]] = made
        return made

    def _list_experiments(self, query: dict[str, str], **_: Any) -> dict[str, Any]:
        self._require_namespace(query, "An experiment")
        return page("experiments", [each for each in self.experiments.values() if self._within(each, query)], query)

    def _within(self, made: dict[str, Any], query: dict[str, str]) -> bool:
        """Whether an object is in the namespace that is asked about, on a Kubeflow with profiles."""
        return self.identity is None or made.get("namespace") == query.get("namespace")

    def _require_namespace(self, given: dict[str, Any], what: str) -> None:
        if self.identity is not None and not given.get("namespace"):
            raise RefusalError(400, 3, f"{what} cannot have an empty namespace in multi-user mode")

    def _create_run(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        source = body["pipeline_version_reference"]
        spec = self.versions[source["pipeline_version_id"]]["pipeline_spec"]["pipeline_spec"]
        self._check_parameters(spec, body["runtime_config"].get("parameters", {}))
        run_id = str(uuid.uuid4())
        self.runs[run_id] = {
            **body,
            "run_id": run_id,
            "created_at": moment(len(self.runs)),
            "scheduled_at": moment(0),
            "finished_at": NOT_YET["run"],
            "state_history": [{"update_time": moment(0), "state": "PENDING"}],
        }
        tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
        self.workflows[run_id] = Workflow(run_id, in_order(tasks), "finish", set(self.fails))
        return self.show(run_id)

    def _check_parameters(self, spec: dict[str, Any], given: dict[str, Any]) -> None:
        known = spec["root"]["inputDefinitions"]["parameters"]
        for name, value in given.items():
            if name not in known:
                raise RefusalError(400, 3, f"Failed to create a run: unknown parameter {name}")
            if known[name]["parameterType"] == "NUMBER_INTEGER" and not isinstance(value, int):
                raise RefusalError(400, 3, f"Failed to create a run: input parameter {name} requires type NUMBER_INTEGER")

    def _get_run(self, run_id: str, **_: Any) -> dict[str, Any]:
        run = self.show(run_id)
        answer: dict[str, Any] = json.loads(json.dumps(run))
        self.workflows[run_id].advance(self.stride)
        return answer

    def _list_runs(self, query: dict[str, str], **_: Any) -> dict[str, Any]:
        runs = [self.show(run_id) for run_id in self.runs]
        mine = [run for run in runs if run["experiment_id"] == query.get("experiment_id", run["experiment_id"])]
        return page("runs", mine, query)

    def _terminate_run(self, run_id: str, **_: Any) -> dict[str, Any]:
        if self.show(run_id)["state"] in FINAL_STATES:
            raise RefusalError(400, 3, f"Failed to terminate a run {run_id}. Row not found")
        self.workflows[run_id].told_to_stop = True
        self.show(run_id)
        return {}

    def _create_schedule(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise RefusalError(400, 3, "Max concurrency of a recurring run must be at least 1 and at most 10.")
        spec = self.versions[body["pipeline_version_reference"]["pipeline_version_id"]]["pipeline_spec"]["pipeline_spec"]
        self._check_parameters(spec, body["runtime_config"].get("parameters", {}))
        made = {
            **body,
            "namespace": self.experiments[body["experiment_id"]].get("namespace"),
            "recurring_run_id": str(uuid.uuid4()),
            "status": "ENABLED" if body["mode"] == "ENABLE" else "DISABLED",
            "created_at": moment(len(self.schedules)),
        }
        self.schedules[made["recurring_run_id"]] = made
        return made

    def _list_schedules(self, query: dict[str, str], **_: Any) -> dict[str, Any]:
        self._require_namespace(query, "a recurring run")
        return page("recurringRuns", [each for each in self.schedules.values() if self._within(each, query)], query)

    def _change_schedule(self, schedule_id: str, verb: str, **_: Any) -> dict[str, Any]:
        self.schedules[schedule_id]["status"] = "ENABLED" if verb == "enable" else "DISABLED"
        return {}

    def _delete_schedule(self, schedule_id: str, **_: Any) -> dict[str, Any]:
        del self.schedules[schedule_id]
        return {}


ROUTES: tuple[tuple[str, str, Callable[..., dict[str, Any]]], ...] = (
    ("POST", r"/pipelines", KfpServer._create_pipeline),
    ("GET", r"/pipelines/names/(?P<name>[^/]+)", KfpServer._get_pipeline_by_name),
    ("POST", r"/pipelines/upload_version", KfpServer._upload_version),
    ("GET", r"/pipelines/(?P<pipeline_id>[^/]+)/versions", KfpServer._list_versions),
    ("GET", r"/pipelines/(?P<pipeline_id>[^/]+)/versions/(?P<version_id>[^/]+)", KfpServer._get_version),
    ("POST", r"/experiments", KfpServer._create_experiment),
    ("GET", r"/experiments", KfpServer._list_experiments),
    ("POST", r"/runs", KfpServer._create_run),
    ("GET", r"/runs", KfpServer._list_runs),
    ("GET", r"/runs/(?P<run_id>[^/:]+)", KfpServer._get_run),
    ("POST", r"/runs/(?P<run_id>[^/:]+):terminate", KfpServer._terminate_run),
    ("POST", r"/recurringruns", KfpServer._create_schedule),
    ("GET", r"/recurringruns", KfpServer._list_schedules),
    ("POST", r"/recurringruns/(?P<schedule_id>[^/:]+):(?P<verb>enable|disable)", KfpServer._change_schedule),
    ("DELETE", r"/recurringruns/(?P<schedule_id>[^/:]+)", KfpServer._delete_schedule),
)


@cache
def documents(package: str) -> list[Any]:
    """The pipeline spec and the platform spec of a package."""
    return list(yaml.load_all(package, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def page(items: str, all_items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of a listing: filtered by equality, sorted by time, cut; a listing without items has no such field."""
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", ()):
        assert predicate["operation"] == "EQUALS"
        all_items = [each for each in all_items if each[predicate["key"]] == predicate["stringValue"]]
    if query.get("sort_by") == "created_at desc":
        all_items = sorted(all_items, key=lambda each: str(each["created_at"]), reverse=True)
    start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 20)
    answer: dict[str, Any] = {"total_size": len(all_items)}
    if all_items[start : start + size]:
        answer[items] = all_items[start : start + size]
    if start + size < len(all_items):
        answer["next_page_token"] = str(start + size)
    return answer


def in_order(tasks: dict[str, Any]) -> list[str]:
    """Keys of tasks, each after those that it waits for."""
    order: list[str] = []
    while len(order) < len(tasks):
        order += [key for key, task in tasks.items() if key not in order and set(task.get("dependentTasks", ())) <= set(order)]
    return order


def moment(seconds: int) -> str:
    """A time, so many seconds after the first one, as protobuf's JSON has it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: two would wait for each other.
    wbufsize = -1
    server: _HttpServer

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_DELETE = do_GET  # noqa: N815 - as the base class calls them

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def answer(self) -> None:
        state = self.server.state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with state.lock:
            state.requests.append(f"{self.command} {self.path}")
            if state.faults:
                self.send(*state.faults.pop(0))
                return
            refusal = state.identity and state.identity.check(self.path, self.headers, body)
            if refusal:
                self.send(*refusal)
                return
            try:
                answer = json.dumps(self.dispatch(state, body))
                if (asked := f"{self.command} {self.path.removeprefix('/apis/v2beta1')}") in state.lost:
                    state.lost.remove(asked)
                    self.send(504, "upstream request timeout")
                else:
                    self.send(200, answer)
            except RefusalError as error:
                problem = {"error": str(error), "code": error.code, "message": str(error), "details": []}
                self.send(error.status, json.dumps(problem))

    def dispatch(self, state: KfpServer, body: bytes) -> dict[str, Any]:
        url = urlsplit(self.path)
        for method, pattern, handle in ROUTES:
            found = re.fullmatch(f"/apis/v2beta1{pattern}", url.path)
            if method == self.command and found:
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                return handle(state, **found.groupdict(), query=query, **self.content(body))
        raise RefusalError(501, 12, f"no {self.command} {url.path}")

    def content(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/"):
            return {"body": json.loads(body or b"{}")}
        parts = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()
        assert isinstance(parts, list)
        content = parts[0].get_payload(decode=True)
        assert isinstance(content, bytes)
        return {"file": content.decode()}

    def send(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/dex/auth")
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: KfpServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[KfpServer]:
    """A server on a free port of this machine, over https where a context is given."""
    state = KfpServer()
    server = _HttpServer(state)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state.host = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
