"""What pods run, as processes, with nodes that behave as told: exit codes, signals, retries and the outcome at the exit."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipeline.config import PipelineConfig
from pipeline.kubeflow.pod.payload import Payload
from pipeline.runs import connections, database
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from tests.fakes.event_receiver import event_receiver

TINY = Path(__file__).parents[1] / "local_runner"
TERMINATED = 128 + signal.SIGTERM


class Volume:
    """A folder with a compiled tiny pipeline, whose nodes run as pods would run them."""

    def __init__(self, folder: Path, events: Mapping[str, str] | None = None, **behaviour: str) -> None:
        self.folder = folder
        from tiny_pipeline import create

        data = {"input": str(folder / "rows.csv")}
        self.config = PipelineConfig(name="tiny", label="y", workspace=str(folder), data=data, events=events or {})
        self.payload = Payload.of(Compiler().compile(create(str(folder), **behaviour)), self.config).arguments()
        # A cluster's pods would find it in a Secret.
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(TINY),
            "CONVEYOR_METADATA": f"sqlite:///{folder}/metadata.sqlite",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }

    def command(self, module: str, *arguments: str, **inputs: Any) -> list[str]:
        executor_input = json.dumps({"inputs": {"parameterValues": {"run_id": "run-1", **inputs}}})
        command = [sys.executable, "-m", f"pipeline.kubeflow.pod.{module}", *arguments, *self.payload]
        return [*command, "--executor-input", executor_input]

    def start(self, module: str, *arguments: str, **inputs: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(module, *arguments, **inputs),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *nodes: str, **inputs: Any) -> tuple[int, str]:
        return ended(self.start("entrypoint", *(part for name in nodes for part in ("--node", name)), **inputs))

    def finish(self, state: str, message: str = "", **inputs: Any) -> tuple[int, str]:
        return ended(self.start("finish", status={"state": state, "error": {"message": message}}, **inputs))

    def outcome(self, name: str) -> NodeOutcome:
        return NodeOutcome.model_validate_json((self.folder / "runs" / "tiny" / "run-1" / "nodes" / f"{name}.json").read_text())

    def run_outcome(self) -> RunOutcome:
        return RunOutcome.load(self.folder / "runs" / "tiny" / "run-1")

    def executions(self) -> list[str]:
        """The states of the executions in ML Metadata, oldest first."""
        with connections.open_metadata(database.sqlite(self.folder / "metadata.sqlite")) as handle:
            executions = sorted(handle.store.get_executions(), key=lambda execution: execution.id)
        return [type(execution).State.Name(execution.last_known_state) for execution in executions]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _tiny_pipeline_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TINY))


def test_a_group_runs_in_order_and_the_exit_task_tells_the_outcome(tmp_path):
    volume = Volume(tmp_path, left="note:Column x is text.")

    code, log = volume.run("Source", "Left", "Right", "Join", run_note="a try")
    finished, _ = volume.finish("COMPLETE", run_note="a try")

    assert (code, finished) == (0, 0), log
    assert [line for line in log.splitlines() if ": complete" in line and "Left" in line]
    outcome = volume.run_outcome()
    assert (outcome.state, outcome.note) == (RunState.COMPLETE, "a try")
    assert [node.state for node in outcome.nodes.values()] == [NodeState.COMPLETE] * 4
    assert {name: node.notes for name, node in outcome.nodes.items() if node.notes} == {"Left": ["Column x is text."]}
    assert (tmp_path / "runs" / "tiny" / "run-1" / "report.html").is_file()

    assert volume.finish("FAILED", "failed to upload artifacts")[0] == 0
    outcome = volume.run_outcome()
    assert outcome.state is RunState.FAILED
    assert outcome.problem is not None
    assert "after its nodes were complete" in outcome.problem.what
    assert outcome.problem.details["seen"] == "failed to upload artifacts"


def test_the_exit_task_posts_the_end_as_an_event_and_waits_for_no_receiver_that_is_away(tmp_path):
    with event_receiver() as receiver:
        volume = Volume(tmp_path, events={"url": receiver.url})
        code, log = volume.run("Source", "Left", "Right", "Join")
        finished, _ = volume.finish("COMPLETE", run_note="a try")
        (event,) = receiver.wait_for(1)
    assert (code, finished) == (0, 0), log
    assert (event["type"], event["source"], event["subject"]) == ("conveyor.run.ended", "/conveyor/pipelines/tiny", "run-1")
    assert (event["data"]["state"], event["data"]["note"]) == ("complete", "a try")
    # Nobody listens there any more.
    finished, log = volume.finish("COMPLETE")
    assert finished == 0
    assert "The event conveyor.run.ended was not received by" in log


def test_a_node_that_refuses_ends_the_group_and_its_error_is_the_end_of_the_log(tmp_path):
    volume = Volume(tmp_path, left="refuse")

    code, log = volume.run("Source", "Left", "Right")
    finished, _ = volume.finish("FAILED")

    assert (code, finished) == (3, 0)
    assert "Data error: The rows are wrong." in log.split("failed after")[1]
    outcome = volume.run_outcome()
    assert outcome.state is RunState.FAILED
    assert outcome.problem is not None
    assert outcome.problem.what == "The rows are wrong."
    assert {name: node.state.value for name, node in outcome.nodes.items()} == {
        "Source": "complete",
        "Left": "failed",
        "Right": "blocked",
        "Join": "blocked",
    }


def test_sigterm_ends_a_pod_and_marks_its_execution(tmp_path):
    started = tmp_path / "started"
    volume = Volume(tmp_path, left=f"hang:{started}")
    assert volume.run("Source")[0] == 0

    process = volume.start("entrypoint", "--node", "Left")
    wait_for(started, process)
    process.send_signal(signal.SIGTERM)
    code, log = ended(process)

    assert code == TERMINATED, log
    assert volume.executions() == ["COMPLETE", "CANCELED"]
    assert volume.outcome("Left").state is NodeState.INTERRUPTED
    assert volume.finish("RUNNING")[0] == 0
    outcome = volume.run_outcome()
    assert outcome.state is RunState.FAILED
    assert outcome.problem is not None
    assert (outcome.problem.details["where"], outcome.problem.details["seen"]) == ("Left", "SIGTERM")


def test_a_retry_of_a_killed_pod_goes_on_with_its_execution(tmp_path):
    started = tmp_path / "started"
    volume = Volume(tmp_path, left=f"hang:{started}")
    assert volume.run("Source")[0] == 0
    process = volume.start("entrypoint", "--node", "Left")
    wait_for(started, process)
    process.kill()
    process.communicate()
    assert volume.executions() == ["COMPLETE", "RUNNING"]

    started.unlink()
    retried = volume.start("entrypoint", "--node", "Left")
    wait_for(started, retried)
    assert volume.executions() == ["COMPLETE", "RUNNING"]
    retried.kill()
    retried.communicate()

    # So KFP calls a run whose pod was killed.
    finished, log = volume.finish("RUNNING")
    assert finished == 0, log
    assert volume.executions() == ["COMPLETE", "CANCELED"]
    outcome = volume.run_outcome()
    assert (outcome.state, outcome.nodes["Left"].state) == (RunState.FAILED, NodeState.INTERRUPTED)
    assert outcome.problem is not None
    assert outcome.problem.what == "The pod of Left was ended from outside, before the node was done."
    assert (outcome.problem.details["where"], outcome.problem.details["seen"]) == ("Left", "no word from the node")
    assert "conveyor status run-1" in outcome.problem.details["fix"]


def test_a_node_whose_upstream_has_not_run_fails_although_nothing_was_raised(tmp_path):
    code, log = Volume(tmp_path).run("Left")

    assert code == 1
    assert "Left did not complete" in log
    assert "InsufficientInputError" in log.split("A node failed:")[1]


@pytest.mark.parametrize(
    ("nodes", "inputs", "message"),
    [
        (("Sauce",), {}, "Did you mean 'Source'?"),
        (("Source",), {"run_id": ""}, "does not know which run it belongs to"),
        (("Source",), {"steps_per_epoch": "many"}, "a whole number"),
        (("Source",), {"steps": 3}, "no parameter 'steps'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_recorded(tmp_path, nodes, inputs, message):
    code, log = Volume(tmp_path).run(*nodes, **inputs)

    assert code == 2
    assert message in log
    assert not (tmp_path / "metadata.sqlite").exists()


def test_a_volume_that_is_not_mounted_is_named(tmp_path):
    volume = Volume(tmp_path)
    (missing := tmp_path / "elsewhere").mkdir()
    volume.payload = Payload(b"", volume.config.model_copy(update={"workspace": str(missing)}), "").arguments()
    missing.rmdir()

    code, log = volume.run("Source")

    assert code == 1
    assert "The volume is not mounted" in log
    assert str(missing) in log


def test_a_full_volume_is_said_to_be_full(tmp_path):
    (mount := tmp_path / "volume").mkdir()
    volume = Volume(mount)
    command = shlex.join(volume.command("entrypoint", "--node", "Source"))
    script = f"mount -t tmpfs -o size=64k tmpfs {mount} && (cat /dev/zero > {mount}/full; {command})"
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    tried = subprocess.run([*namespace, "mount", "-t", "tmpfs", "tmpfs", mount], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"a small volume cannot be mounted ({tried.stderr.strip()}): sudo sysctl -w user.max_user_namespaces=1000")

    done = subprocess.run([*namespace, "sh", "-c", script], env=volume.environment, capture_output=True, text=True, timeout=300)

    assert done.returncode == 1
    assert "the disk is full" in done.stderr.split("Storage error:")[1]


class _Chat(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self, status: int) -> None:
        posted: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.posted = posted
        self.address = f"http://127.0.0.1:{self.server_port}/secret-token"


@pytest.fixture
def chat(request: pytest.FixtureRequest) -> Iterator[_Chat]:
    server = _Chat(request.param)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("chat", "code"), [(200, 0), (500, 1)], indirect=["chat"])
def test_the_outcome_is_posted_and_a_refusal_is_told_without_the_address(tmp_path, chat, code):
    volume = Volume(tmp_path)
    volume.environment["CONVEYOR_WEBHOOK"] = chat.address
    volume.run("Source")

    finished, log = volume.finish("FAILED")

    assert finished == code
    (message,) = chat.posted
    assert (message["pipeline"], message["state"], message["nodes"]["Source"]) == ("tiny", "failed", "complete")
    assert message["text"].startswith("tiny, run run-1: failed")
    assert ("HTTP status 500" in log) == bool(code)
    assert "secret-token" not in log
    assert volume.run_outcome().state is RunState.FAILED
