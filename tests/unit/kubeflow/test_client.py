"""The client of Kubeflow's API, over HTTP against a server that answers as the real one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient, PipelineVersion
from tests.fakes.kfp_server import KfpServer
from tests.fakes.ports import free_port

PACKAGE = (Path(__file__).parent / "golden" / "flights.yaml").read_text()


def client_of(host: str) -> KubeflowClient:
    config = {"name": "flights", "label": "late", "data": {"input": "a-{SPAN}.csv"}, "kubeflow": {"host": host}}
    return KubeflowClient(PipelineConfig.model_validate(config))


def start(client: KubeflowClient, **values: int) -> str:
    return str(client.start_run(client.upload(PACKAGE), values, "flights-1", "").run_id)


def test_a_package_is_uploaded_once(client: KubeflowClient, server: KfpServer) -> None:
    first, again = client.upload(PACKAGE), client.upload(PACKAGE)
    changed = client.upload(PACKAGE.replace("image: ", "image: another/"))

    assert first.is_new
    assert again == PipelineVersion(first.pipeline_id, first.id, first.name, is_new=False)
    assert changed.is_new
    assert changed.pipeline_id == first.pipeline_id
    assert {version["name"] for version in server.versions.values()} == {first.name, changed.name}
    assert [each["name"] for each in server.pipelines.values()] == ["flights"]


def test_what_the_server_has_is_what_was_compiled(client: KubeflowClient, server: KfpServer) -> None:
    run = client.run(start(client))

    assert client.package_spec(run)["root"]["inputDefinitions"]["parameters"]["span"]["parameterType"] == "NUMBER_INTEGER"


def test_a_run_of_a_version_that_was_deleted_has_no_package(client: KubeflowClient, server: KfpServer) -> None:
    run = client.run(start(client))
    server.versions.clear()

    assert client.package_spec(run) == {}


def test_a_run_belongs_to_the_experiment_and_carries_its_parameters(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client, span=201310)

    (experiment,) = server.experiments.values()
    assert experiment["display_name"] == "flights"
    assert server.runs[run_id]["experiment_id"] == experiment["experiment_id"]
    assert server.runs[run_id]["runtime_config"]["parameters"] == {"span": 201310}
    assert client.address(run_id) == f"{server.host}/#/runs/details/{run_id}"


def test_runs_come_newest_first_over_all_pages_without_those_of_other_pipelines(
    client: KubeflowClient, server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = client.upload(PACKAGE)
    started = [client.start_run(version, {}, f"flights-{number}", "").run_id for number in range(3)]
    server.runs[started[1]]["pipeline_version_reference"] = {"pipeline_id": "another", "pipeline_version_id": "v"}
    monkeypatch.setattr("pipeline.kubeflow.client._PAGE_SIZE", 1)

    assert [run.run_id for run in client.runs()] == [started[2], started[0]]
    assert sum("GET /apis/v2beta1/runs?" in request for request in server.requests) == 3


def test_before_the_first_run_there_are_none(client: KubeflowClient) -> None:
    assert list(client.runs()) == []


def test_a_server_that_is_down_is_named_with_the_commands_that_help() -> None:
    host = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ApiError, match="cannot be reached") as caught:
        client_of(host).upload(PACKAGE)

    assert caught.value.where == host
    assert "refused" in caught.value.seen
    assert "conveyor cluster up" in caught.value.fix
    assert "--context kind-conveyor --namespace kubeflow port-forward service/ml-pipeline-ui 8080:80" in caught.value.fix


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(ApiError, match="cannot be reached"):
        client_of("http://kubeflow.invalid").upload(PACKAGE)


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, "<!doctype html><title>Grafana</title>", "The server that answers is not Kubeflow Pipelines"),
        (404, "404 page not found", "The server that answers is not Kubeflow Pipelines"),
        (302, "", "asks for a log-in"),
        (401, '{"message": "no token"}', "asks for a log-in"),
        (403, "RBAC: access denied", "asks for a log-in"),
        (503, "no healthy upstream", "The API server does not answer"),
        (500, '{"code": 13, "message": "InternalServerError: the database is gone"}', "The API server refused"),
    ],
)
def test_answers_that_are_none(client: KubeflowClient, server: KfpServer, status: int, body: str, what: str) -> None:
    server.faults.append((status, body))

    with pytest.raises(ApiError, match=what) as caught:
        client.upload(PACKAGE)

    assert caught.value.where == server.host
    assert caught.value.fix
    if status == 500:
        assert "the database is gone" in caught.value.seen


def test_what_the_server_refuses_is_told_in_its_words(client: KubeflowClient) -> None:
    with pytest.raises(ApiError) as caught:
        start(client, spam=1)
    assert caught.value.status == 400
    assert "unknown parameter spam" in caught.value.seen
