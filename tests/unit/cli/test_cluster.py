"""`conveyor cluster`: what a person reads, is asked and gets as exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import main
from tests.fakes.machine import Machine

CONFIG = """
name: flights
label: late
data: {input: "{workspace}/data/flights/*.parquet"}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With a configuration in the working directory, and no cluster yet."""
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    return Machine(tmp_path, monkeypatch)


def conveyor(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["cluster", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a person at a terminal answer questions."""

    def give(text: str) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("typer.confirm", lambda question: print(question) or text == "y")

    return give


class TestUp:
    def test_it_ends_with_the_dashboard_and_how_to_put_data_there(self, machine, capsys):
        assert conveyor("up") == 0

        out = capsys.readouterr().out
        assert "The dashboard: http://localhost:8080" in out
        assert f"conveyor data flights --destination {machine.home}/.conveyor/cluster/data/flights" in out
        assert out.endswith("then: conveyor submit\n")

    def test_with_data_there_the_next_command_is_submit(self, machine, capsys):
        data = machine.home / ".conveyor" / "cluster" / "data"
        data.mkdir(parents=True)
        (data / "flights").mkdir()

        assert conveyor("up") == 0

        assert capsys.readouterr().out.endswith("Next: conveyor submit\n")

    def test_without_the_image_it_is_next(self, machine, capsys):
        machine.write("local_images", "")

        assert conveyor("up") == 0

        assert capsys.readouterr().out.endswith("Next: conveyor image build, then conveyor image load\n")

    def test_a_cluster_of_another_working_directory_is_told(self, machine, capsys):
        machine.has_cluster()
        machine.write("folder", "/elsewhere/.conveyor/cluster")

        assert conveyor("up") == 0

        out = capsys.readouterr().out
        assert "The volume of the runs: /elsewhere/.conveyor/cluster" in out
        assert "made from another working directory" in out

    def test_an_error_is_one_screen(self, machine, capsys):
        machine.fail("docker version", "Cannot connect to the Docker daemon")

        assert conveyor("up") == 2

        error = capsys.readouterr().err
        assert error.startswith("Usage error: docker cannot be used.")
        assert "sudo systemctl start docker" in error

    def test_on_a_real_cluster_it_asks_and_says_how_to_reach_the_dashboard(self, machine, answer, capsys):
        machine.has_real_cluster()
        answer("y")

        assert conveyor("up", "--set", "kubeflow.context=production", "--set", "kubeflow.image=corp/conveyor:1") == 0

        out = capsys.readouterr().out
        assert "Install Kubeflow Pipelines and Conveyor on context production, https://127.0.0.1:6443?" in out
        assert "port-forward service/ml-pipeline-ui 8080:80" in out

    def test_on_a_real_cluster_nobody_to_ask_is_an_error(self, machine, monkeypatch, capsys):
        machine.has_real_cluster()
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)

        assert conveyor("up", "--set", "kubeflow.context=production", "--set", "kubeflow.image=corp/conveyor:1") == 2

        assert "Add --yes." in capsys.readouterr().err
        assert machine.changes == []


class TestDown:
    def test_the_cluster_goes_and_the_data_stays(self, machine, capsys):
        conveyor("up")

        assert conveyor("down", "--yes") == 0

        assert machine.changes[-1] == "kind delete cluster --name conveyor"
        assert f"are still in {machine.home}/.conveyor/cluster" in capsys.readouterr().out

    def test_no_is_taken_as_no(self, machine, answer, capsys):
        machine.has_cluster()
        answer("n")

        assert conveyor("down") == 2

        captured = capsys.readouterr()
        assert "with its databases" in captured.out
        assert "Nothing was deleted." in captured.err
        assert machine.changes == []

    def test_without_a_cluster_there_is_nothing_to_do(self, machine, capsys):
        assert conveyor("down") == 0

        assert "nothing to delete" in capsys.readouterr().out

    def test_a_cluster_of_somebody_else_stays(self, machine, capsys):
        machine.has_cluster()
        machine.remove("folder")

        assert conveyor("down", "--yes") == 2

        assert "was not made by Conveyor" in capsys.readouterr().err
        assert machine.changes == []

    def test_a_real_cluster_stays(self, machine, capsys):
        machine.has_real_cluster()

        assert conveyor("down", "--yes", "--set", "kubeflow.context=production") == 2

        assert "Only a local cluster can be deleted." in capsys.readouterr().err
        assert machine.calls == []


class TestStatus:
    DEPLOYMENTS = (
        {"metadata": {"name": "ml-pipeline"}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}},
        {"metadata": {"name": "serving"}, "spec": {"replicas": 2}, "status": {}},
    )

    def test_a_cluster_that_is_ready(self, machine, capsys):
        machine.has_cluster()
        machine.tells(deployments=list(self.DEPLOYMENTS))

        assert conveyor("status") == 0

        out = capsys.readouterr().out
        rows = [line.split() for line in out.splitlines()]
        assert ["kubeflow", "ml-pipeline", "1/1"] in rows
        assert ["conveyor-serving", "serving", "0/2"] in rows
        assert "The model server becomes ready when a run has pushed a model." in out
        assert out.endswith("Runs can start: conveyor submit\n")

    def test_defaults_of_argo_that_undo_retries_are_told(self, machine, capsys):
        machine.has_cluster()
        defaults = "spec: {templateDefaults: {retryStrategy: {limit: 2, retryPolicy: OnError}}}"
        machine.put("configmap/workflow-controller-configmap", data={"workflowDefaults": defaults})

        assert conveyor("status") == 0
        assert "Pods of runs that fail are not tried again" in capsys.readouterr().out
        conveyor("status", "--json")
        assert "OnError" in json.loads(capsys.readouterr().out)["remark"]

    def test_what_is_not_ready_is_told_with_the_reason(self, machine, capsys):
        machine.has_cluster()
        crashing = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
        ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        pod = {
            "metadata": {"name": "mysql-0"},
            "status": {"containerStatuses": [{"name": "mysql", "state": crashing, "lastState": ended}]},
        }
        machine.tells(pods=[pod])
        machine.remove("objects/secret/conveyor-metadata")

        assert conveyor("status") == 1

        captured = capsys.readouterr()
        assert "mysql-0: mysql: CrashLoopBackOff: exit code 137 (OOMKilled)" in captured.out
        assert "There is no secret 'conveyor-metadata' in the cluster." in captured.err

    def test_json_holds_the_same(self, machine, capsys):
        machine.has_cluster()
        machine.write("cluster_images", "")
        machine.tells(deployments=list(self.DEPLOYMENTS))

        assert conveyor("status", "--json") == 1

        facts = json.loads(capsys.readouterr().out)
        assert facts["ready"] is False
        assert facts["problem"].startswith("The cluster does not have the image conveyor:0.1.0.")
        assert facts["deployments"][0] == {"namespace": "kubeflow", "deployment": "ml-pipeline", "ready": 1, "wanted": 1}

    PROFILE = (
        "--set",
        "kubeflow.context=shared",
        "--set",
        "kubeflow.namespace=team",
        "--set",
        "kubeflow.auth.token_file=token",
    )

    def test_what_is_missing_comes_as_a_manifest(self, machine, capsys):
        machine.has_profile("team")

        assert conveyor("status", *self.PROFILE) == 1

        captured = capsys.readouterr()
        before, _, manifest = captured.out.partition("somebody who may:\n\n")
        assert "There is no secret 'conveyor-metadata' in the cluster. (kubeflow.metadata)" in before
        assert [one["kind"] for one in yaml.safe_load_all(manifest)] == ["PersistentVolumeClaim", "Job", "Secret"]
        assert "There is no persistentvolumeclaim 'conveyor' in the cluster." in captured.err
        conveyor("status", "--json", *self.PROFILE)
        facts = json.loads(capsys.readouterr().out)
        assert facts["manifest"] == manifest.removesuffix("\n")
        assert len(facts["problems"]) == 3

    def test_a_log_in_that_fails_is_a_problem(self, machine, capsys):
        machine.has_profile("team")
        for name, content in (("persistentvolumeclaim/conveyor", {}), ("secret/conveyor-metadata", {"data": {"url": ""}})):
            machine.put(name, **content)

        assert conveyor("status", *self.PROFILE) == 2

        assert "The file with the log-in cannot be read." in capsys.readouterr().err

    def test_namespaces_of_others_may_be_closed(self, machine, capsys):
        machine.has_profile("team")
        machine.fail("--namespace kubeflow get deployments", "Error from server (Forbidden): deployments.apps is forbidden")

        conveyor("status", *self.PROFILE)

        assert "Not for this account to see, and taken to be there: namespace kubeflow" in capsys.readouterr().out

    def test_no_cluster(self, machine, capsys):
        assert conveyor("status") == 2

        assert "kubectl has no context 'kind-conveyor'" in capsys.readouterr().err
