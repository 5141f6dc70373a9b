"""The local cluster after two runs, the second with a month more: .github/workflows/kind-e2e.yml says how to get there.

With a cluster, from the root of the checkout: `.venv/bin/pytest tests/kind`.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Gateway, Kubeflow
from pipeline.runs.status import RunOutcome

SETTINGS = Kubeflow()
VOLUME = Path(".conveyor/cluster")
NODES = {
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Resolver",
    "Evaluator",
    "InfraValidator",
    "Pusher",
}
# Answers to the model server's own protocol and to REST are of the same flight.
FLIGHT = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "departure_minute": 900}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubectl() -> Run:
    def run(*arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--context", SETTINGS.context, "--namespace", SETTINGS.namespace, *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, timeout=300, check=False)

    if not shutil.which("kubectl") or run("get", "--raw", "/readyz", "--request-timeout=5s").returncode != 0:
        message = "there is no local cluster with runs in it: follow the steps of .github/workflows/kind-e2e.yml"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return run


@pytest.fixture(scope="session")
def outcomes(kubectl: Run) -> list[RunOutcome]:
    """Of all runs, the first one first."""
    files = VOLUME.glob("runs/flights/*/run.json")
    return sorted((RunOutcome.model_validate_json(path.read_text()) for path in files), key=lambda outcome: outcome.started)


def in_a_pod(kubectl: Run, program: str) -> Any:
    """What a Python program prints in a pod with the image, the volume and the database of the runs."""
    done = kubectl("exec", "-i", "conveyor-shell-0", "--", "python", "-", input=program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def get(path: str, body: Any = None, port: int = 8501) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Content-Type": "application/json"})
    request.data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_every_node_of_every_run_is_complete(outcomes: list[RunOutcome]) -> None:
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.state.value == "complete", outcome.problem
        assert outcome.nodes.keys() >= NODES
    assert {node.state.value for node in outcomes[0].nodes.values()} == {"complete"}
    assert outcomes[1].nodes["Trainer"].state.value == "complete"


def test_the_metadata_database_knows_them(kubectl: Run, outcomes: list[RunOutcome]) -> None:
    states = in_a_pod(
        kubectl,
        "import json; from pipeline.runs import database; from pipeline.runs.metadata import open_store\n"
        f"with open_store(database.from_environment(), 'flights') as store:\n"
        f"    runs = [store.run(run) for run in {[outcome.run_id for outcome in outcomes]}]\n"
        "print(json.dumps([{node: e.state.value for node, e in run.executions.items()} for run in runs]))",
    )
    for of_run in states:
        assert of_run.keys() >= NODES
        assert set(of_run.values()) <= {"complete", "cached"}


def test_the_second_run_was_compared_with_the_first_ones_model(kubectl: Run, outcomes: list[RunOutcome]) -> None:
    first, baseline = in_a_pod(
        kubectl,
        "import json\nfrom pipeline.nodes import BASELINE_KEY\nfrom pipeline.runs import database\n"
        "from pipeline.runs.metadata import open_store\n"
        f"with open_store(database.from_environment(), 'flights') as store:\n"
        f"    first, second = [store.run(run) for run in {[outcome.run_id for outcome in outcomes]}]\n"
        "print(json.dumps([first.output('Trainer', 'model').uri, second.input('Evaluator', BASELINE_KEY).uri]))",
    )
    assert baseline == first


def test_each_run_has_a_report(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert (VOLUME / "runs/flights" / outcome.run_id / "report.html").stat().st_size > 10_000


def test_the_newest_version_is_served(outcomes: list[RunOutcome]) -> None:
    versions = sorted(int(path.name) for path in (VOLUME / "models/flights").glob("[0-9]*"))
    assert len(versions) == len(outcomes)
    ends = time.monotonic() + 120
    loaded: list[int] = []
    while loaded != versions[-1:] and time.monotonic() < ends:
        time.sleep(2)
        states = get("/v1/models/flights")["model_version_status"]
        loaded = [int(state["version"]) for state in states if state["state"] == "AVAILABLE"]
    assert loaded == versions[-1:]


@pytest.mark.usefixtures("kubectl")
def test_rest_and_grpc_answer_alike() -> None:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    example = tf.train.Example()
    for name, value in FLIGHT.items():
        kind = "int64_list" if isinstance(value, int) else "bytes_list"
        getattr(example.features.feature[name], kind).value.append(value if isinstance(value, int) else str(value).encode())
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "flights"
    request.model_spec.signature_name = "serving_default"
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto([example.SerializeToString()]))
    with grpc.insecure_channel("127.0.0.1:8500") as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    score = tf.make_ndarray(answer.outputs["score"]).item()

    body = {"instances": [{"examples": {"b64": base64.b64encode(example.SerializeToString()).decode()}}]}
    (row,) = get("/v1/models/flights:predict", body)["predictions"]
    assert 0 < score < 1
    assert row["score"] == pytest.approx([score], abs=1e-6)


@pytest.mark.usefixtures("kubectl")
def test_the_gateway_answers_the_example_on_its_page_with_the_version_that_is_served() -> None:
    port = Gateway().port
    row = get("/openapi.json", port=port)["components"]["schemas"]["Row"]["example"]
    newest = max(int(path.name) for path in (VOLUME / "models/flights").glob("[0-9]*"))
    ends = time.monotonic() + 120
    while get("/readyz", port=port)["version"] != newest and time.monotonic() < ends:
        time.sleep(2)
    (prediction,) = get("/v1/predict", {"rows": [row]}, port=port)["predictions"]
    assert prediction["model_version"] == newest
    assert 0 < prediction["score"] < 1


def test_a_backup_holds_the_tables(kubectl: Run) -> None:
    before = set((VOLUME / "backups").glob("*.sql.gz"))
    name = f"backup-{int(time.time())}"
    assert kubectl("create", "job", name, "--from=cronjob/conveyor-metadata-backup").returncode == 0
    done = kubectl("wait", f"job/{name}", "--for=condition=complete", "--timeout=180s")
    assert done.returncode == 0, kubectl("logs", f"job/{name}").stdout
    (copy,) = set((VOLUME / "backups").glob("*.sql.gz")) - before
    dump = gzip.decompress(copy.read_bytes()).decode(errors="replace")
    assert "CREATE TABLE `Artifact`" in dump
    assert "INSERT INTO `Execution`" in dump


def test_strangers_do_not_reach_the_database(kubectl: Run) -> None:
    program = "import socket; socket.create_connection(('conveyor-metadata', 3306), 5)"
    assert kubectl("exec", "conveyor-shell-0", "--", "python", "-c", program).returncode == 0
    options = ("--rm", "--stdin", "--restart=Never", f"--image={SETTINGS.image}", "--image-pull-policy=IfNotPresent")
    stranger = kubectl("run", f"stranger-{int(time.time())}", *options, "--", "python", "-c", program)
    assert stranger.returncode != 0
    assert "TimeoutError" in stranger.stdout + stranger.stderr


@pytest.mark.parametrize(
    ("verb", "thing", "answer"),
    [
        ("patch", "workflowtaskresults.argoproj.io", "yes"),
        ("get", "secret/mlpipeline-minio-artifact", "yes"),
        ("get", "configmap/kfp-launcher", "yes"),
        ("get", "secret/conveyor-metadata", "no"),
        ("create", "pods", "no"),
        ("create", "pods/exec", "no"),
        ("delete", "deployments.apps", "no"),
    ],
)
def test_a_run_may_do_what_it_needs(kubectl: Run, verb: str, thing: str, answer: str) -> None:
    account = f"--as=system:serviceaccount:{SETTINGS.namespace}:pipeline-runner"
    assert kubectl("auth", "can-i", verb, thing, account).stdout.strip() == answer


def test_a_turn_of_the_loop_is_taken(kubectl: Run, tmp_path: Path) -> None:
    path = tmp_path / "loop.yaml"
    conveyor = Path(sys.executable).with_name("conveyor")
    subprocess.run([str(conveyor), "compile", "--loop", str(path)], check=True, timeout=300)
    anywhere = ["kubectl", "--context", SETTINGS.context]
    subprocess.run([*anywhere, "apply", "--server-side", "--filename", str(path)], check=True, timeout=60)
    try:
        # The CronJob itself would begin whenever it is time.
        kubectl("patch", "cronjob", "conveyor-loop", "--patch", json.dumps({"spec": {"suspend": True}}))
        kubectl("create", "job", "turn", "--from=cronjob/conveyor-loop")
        done = kubectl("wait", "job/turn", "--for=condition=Complete", "--timeout=280s")
        assert done.returncode == 0, (
            kubectl("logs", "job/turn").stdout + kubectl("describe", "pods", "-l", "job-name=turn").stdout
        )
        entries = [json.loads(line) for line in (VOLUME / "loop/flights/decisions.jsonl").read_text().splitlines()]
        assert entries[-1]["reason"] in kubectl("logs", "job/turn").stdout
    finally:
        kubectl("delete", "job", "turn", "--ignore-not-found")
        subprocess.run([*anywhere, "delete", "--filename", str(path)], timeout=60, check=False)
