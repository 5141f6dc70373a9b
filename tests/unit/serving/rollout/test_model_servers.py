"""Asking a model server: over gRPC, with a server that answers as it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.errors import ServingError
from serving.protocol import GetModelMetadataRequest, GetModelMetadataResponse, GetModelStatusRequest, GetModelStatusResponse
from serving.rollout import model_servers as module
from serving.rollout.model_servers import Loading, RunningServer, available
from tests.fakes.ports import free_port

AVAILABLE, LOADING, BROKEN = Loading("AVAILABLE"), Loading("LOADING"), Loading("END", "the graph cannot be read")


class Answers:
    """What the server answers.

    Attributes:
      versions: by number; each question takes the next of a list, and the last one again and again.
      labels: versions by label.
    """

    def __init__(self) -> None:
        self.versions: list[dict[int, Loading]] = [{}]
        self.labels: dict[str, int] = {}

    def status(self, request, context):
        versions = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        if request.model_spec.name != "flights":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        response = GetModelStatusResponse()
        for number, loading in versions.items():
            added = response.model_version_status.add(version=number, state=loading.state)
            added.status.error_message = loading.error
        return response

    def metadata(self, request, context):
        if request.model_spec.version_label not in self.labels:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label")
        response = GetModelMetadataResponse()
        response.model_spec.version.value = self.labels[request.model_spec.version_label]
        return response


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def address(answers: Answers) -> Iterator[str]:
    def handler(call, request, response):
        return grpc.unary_unary_rpc_method_handler(call, request.FromString, response.SerializeToString)

    status = {"GetModelStatus": handler(answers.status, GetModelStatusRequest, GetModelStatusResponse)}
    metadata = {"GetModelMetadata": handler(answers.metadata, GetModelMetadataRequest, GetModelMetadataResponse)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", status),
            grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", metadata),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0)


@pytest.fixture
def server(address: str) -> RunningServer:
    return RunningServer(address, "flights")


def test_versions_and_why_one_failed(server: RunningServer, answers: Answers):
    answers.versions = [{2: AVAILABLE, 3: BROKEN}]
    assert server.versions() == {2: AVAILABLE, 3: BROKEN}
    assert available(server.versions() or {}) == [2]


def test_nobody_answers():
    assert RunningServer(f"127.0.0.1:{free_port()}", "flights").versions() is None


def test_a_server_of_other_models(address: str):
    with pytest.raises(ServingError, match="does not serve trains") as caught:
        RunningServer(address, "trains").versions()
    assert "NOT_FOUND" in caught.value.seen


def test_labels(server: RunningServer, answers: Answers):
    answers.labels = {"stable": 2}
    assert server.labelled("stable") == 2
    assert server.labelled("canary") is None
    server.wait_until_labelled({"stable": 2}, 1)
    with pytest.raises(ServingError, match="did not move its labels") as caught:
        server.wait_until_labelled({"stable": 3, "canary": 3}, 0.1)
    assert caught.value.seen == "stable: 2, canary: none"


def test_waiting_until_a_version_is_loaded(server: RunningServer, answers: Answers):
    answers.versions = [{2: AVAILABLE}, {2: AVAILABLE, 3: LOADING}, {2: AVAILABLE, 3: AVAILABLE}]
    server.wait_until_loaded([2, 3], 10, {2: AVAILABLE})
    assert len(answers.versions) == 1


def test_a_failure_ends_the_wait(server: RunningServer, answers: Answers):
    answers.versions = [{3: LOADING}, {3: BROKEN}]
    with pytest.raises(ServingError, match="cannot load version 3") as caught:
        server.wait_until_loaded([3], 10, {})
    assert caught.value.seen == "the graph cannot be read"


def test_an_old_failure_is_tried_again(server: RunningServer, answers: Answers):
    answers.versions = [{3: BROKEN}, {3: LOADING}, {3: AVAILABLE}]
    server.wait_until_loaded([3], 10, {3: BROKEN})


def test_an_old_failure_that_stays_ends_the_wait(server: RunningServer, answers: Answers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.001)
    answers.versions = [{3: BROKEN}]
    with pytest.raises(ServingError, match="cannot load version 3"):
        server.wait_until_loaded([3], 10, {3: BROKEN})


def test_a_server_that_does_not_read_its_configuration(server: RunningServer, answers: Answers):
    answers.versions = [{2: AVAILABLE}]
    with pytest.raises(ServingError, match="did not load the versions that it has to serve within") as caught:
        server.wait_until_loaded([2, 3], 0.1, {2: AVAILABLE})
    assert caught.value.seen == "version 3: unknown to the server"


def test_a_proxy_for_what_is_outside_is_not_asked(server: RunningServer, answers: Answers, monkeypatch: pytest.MonkeyPatch):
    answers.versions = [{7: AVAILABLE}]
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert server.versions() == {7: AVAILABLE}
