"""`conveyor submit`, `status`, `logs`, `cancel` and `schedule`, as a person types them.

Compiling takes seconds and has tests of its own: here a package that was compiled before stands for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main as command_line
from pipeline.errors import DataError, NodeError
from pipeline.kubeflow.pod.termination import Termination
from pipeline.runs.status import Problem, RunState
from tests.fakes.kfp_records import record
from tests.fakes.kfp_server import KfpServer
from tests.fakes.kubectl import FakeKubectl

CONFIG = """
name: flights
label: late
data: {input: "{workspace}/data/span-{SPAN}.csv"}
kubeflow: {host: "HOST", image: registry/conveyor:0.1.0}
"""
Conveyor = Callable[..., tuple[int, str, str]]


@pytest.fixture
def conveyor(
    server: KfpServer,
    kubectl: FakeKubectl,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Conveyor:
    """Runs a command in a folder with a pipeline.yaml; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(CONFIG.replace("HOST", server.host))
    monkeypatch.setattr("pipeline.kubeflow.submission.compile_apart", lambda config: package)
    monkeypatch.setattr("pipeline.kubeflow.follow.Follower.poll_seconds", 0.0)
    server.stride = 8
    kubectl.add("onExit.finish.executor(0)", "", **ended(Termination(run_state=RunState.COMPLETE)))

    def _conveyor(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return _conveyor


def ended(termination: Termination) -> dict[str, Any]:
    """The status of a pod that has reported how it ended."""
    return {"containerStatuses": [{"name": "main", "state": {"terminated": {"message": termination.message()}}}]}


def submitted(conveyor: Conveyor, *arguments: str) -> str:
    """Submits and returns the id of the run."""
    code, out, err = conveyor("submit", "--no-follow", *arguments)
    assert code == 0, err
    found = re.search(r"^Run (\S+) of flights has started", out, re.MULTILINE)
    assert found
    return found[1]


class TestSubmit:
    def test_a_run_is_followed_to_its_end(self, conveyor: Conveyor, server: KfpServer) -> None:
        code, out, err = conveyor("submit")

        (run_id,) = server.runs
        assert (code, err) == (0, "")
        assert f"{server.host}/#/runs/details/{run_id}" in out
        assert [line.split()[:2] for line in out.splitlines() if line.startswith(("ExampleGen ", "finish "))][:2] == [
            ["ExampleGen", "complete"],
            ["finish", "complete"],
        ]
        assert f"Run {run_id} of flights: complete" in out

    def test_the_same_package_is_uploaded_once(self, conveyor: Conveyor, server: KfpServer) -> None:
        first = conveyor("submit", "--no-follow")[1]
        second = conveyor("submit", "--no-follow")[1]

        assert ": uploaded." in first
        assert ": on the server already." in second
        assert len(server.versions) == 1
        assert len(server.runs) == 2

    def test_parameters_and_note_reach_the_run(self, conveyor: Conveyor, server: KfpServer) -> None:
        run_id = submitted(conveyor, "--parameter", "span=201310", "-p", "steps_per_epoch=5", "--note", "after the storm")

        run = server.runs[run_id]
        assert run["runtime_config"]["parameters"] == {"span": 201310, "steps_per_epoch": 5, "run_note": "after the storm"}
        assert run["description"] == "after the storm"
        assert run["display_name"].startswith("flights-20")

    @pytest.mark.parametrize(
        ("parameter", "what", "fix"),
        [
            ("spam=1", "no parameter 'spam'", "Did you mean 'span'?"),
            ("span=October", "span cannot be 'October'", ""),
            ("span=1.5", "span cannot be '1.5'", ""),
            ("steps_per_epoch=-1", "steps_per_epoch cannot be -1", ""),
            ("span", "NAME=VALUE", "--parameter span=VALUE"),
        ],
    )
    def test_a_wrong_parameter_stops_before_anything_is_done(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl, parameter: str, what: str, fix: str
    ) -> None:
        code, _, err = conveyor("submit", "--parameter", parameter)

        assert code == 2
        assert what in err
        assert fix in err
        assert server.requests == []
        assert kubectl.calls == []

    def test_a_cluster_that_is_not_ready_stops_before_anything_is_uploaded(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        kubectl.remove("secret/conveyor-metadata")

        code, _, err = conveyor("submit")

        assert code == 1
        assert "conveyor-metadata" in err
        assert "conveyor cluster up" in err
        assert server.requests == []

    def test_a_failing_node_ends_it_with_the_nodes_error(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        error = DataError("The data break the schema.", where="ExampleValidator", seen="12 rows of ZZZ", fix="mend the data")
        kubectl.add("example-validator.executor(0)", "", **ended(Termination(problem=Problem.of(error))))
        server.fails = {"example-validator"}

        code, out, err = conveyor("submit")

        (run_id,) = server.runs
        assert code == 3
        assert re.search(r"^ *ExampleValidator +failed", out, re.MULTILINE)
        assert re.search(r"^ *Trainer +blocked", out, re.MULTILINE)
        assert err.startswith("Data error: The data break the schema.\n  where     ExampleValidator\n")
        assert "12 rows of ZZZ" in err
        assert f"conveyor logs {run_id} ExampleValidator" in err

    def test_a_model_that_was_not_blessed_has_its_exit_code(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(conveyor)
        kubectl.add("onExit.finish.executor(0)", "", **ended(Termination(run_state=RunState.NOT_BLESSED)))

        code, _, err = conveyor("status", "--follow")

        assert code == 4
        assert "nothing was pushed" in err

    def test_a_run_whose_exit_task_failed_ends_with_its_error(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        error = NodeError("The outcome could not be posted to the webhook.", seen="HTTP status 500")
        kubectl.add(
            "onExit.finish.executor(1)", "", **ended(Termination(problem=Problem.of(error), run_state=RunState.COMPLETE))
        )
        server.fails = {"finish"}

        code, out, err = conveyor("submit")

        assert code == 1
        assert re.search(r"^ *finish +failed", out, re.MULTILINE)
        assert "The exit task failed: the run's report may be missing. The outcome could not be posted" in err

    def test_a_run_that_lost_a_pod_is_started_again_as_often_as_asked(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        kubectl.add("trainer.executor(0)", "", phase="Failed", reason="Evicted", message="The node was low on memory.")
        server.fails = {"trainer"}

        code, out, err = conveyor("submit", "--retries", "2")

        assert code == 1
        assert len(server.runs) == 3
        assert out.count("The pipeline runs again") == 2
        assert "Trainer failed: Evicted" in err

    def test_a_run_that_failed_by_itself_is_not_started_again(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        kubectl.add("trainer.executor(0)", "", phase="Failed")
        server.fails = {"trainer"}

        assert conveyor("submit", "--retries", "2")[0] == 1
        assert len(server.runs) == 1
        assert conveyor("submit", "--retries", "2", "--no-follow")[0] == 2

    def test_an_interrupt_ends_the_following_and_not_the_run(
        self, conveyor: Conveyor, server: KfpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("pipeline.kubeflow.follow.sleep", interrupt)

        code, out, _ = conveyor("submit")

        (run_id,) = server.runs
        assert code == 130
        assert f"Run {run_id} goes on." in out
        assert f"conveyor status {run_id} --follow" in out
        assert f"conveyor cancel {run_id}" in out
        assert server.show(run_id)["state"] != "CANCELING"

    def test_what_keeps_a_pod_from_starting_is_told_once(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.stride = 2
        monkeypatch.setattr("pipeline.kubeflow.follow.Follower.pod_seconds", 0.0)
        waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
        kubectl.add("example-gen.executor(0)", phase="Pending", containerStatuses=[waiting])

        _, out, _ = conveyor("submit")

        assert out.count("ErrImagePull: no such image") == 1


class TestStatus:
    def test_the_latest_run_with_its_nodes(self, conveyor: Conveyor, server: KfpServer) -> None:
        submitted(conveyor)
        run_id = submitted(conveyor)
        server.finish(run_id)

        code, out, _ = conveyor("status")

        assert code == 0
        assert f"Run {run_id} of flights: complete" in out
        assert re.search(r"^ *Trainer +complete +50\.0 s", out, re.MULTILINE)

    def test_a_failed_run_shows_its_error_and_is_a_success_of_the_command(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        kubectl.add("trainer.executor(0)", "epoch 1\nsegmentation fault\n")
        server.fails = {"trainer"}
        server.finish(submitted(conveyor))

        code, out, _ = conveyor("status")

        assert code == 0
        assert "Trainer failed." in out
        assert "segmentation fault" in out

    def test_json(self, conveyor: Conveyor, server: KfpServer) -> None:
        run_id = submitted(conveyor, "--parameter", "span=201310")
        server.finish(run_id)

        document = json.loads(conveyor("status", run_id[:8], "--json")[1])

        assert document["run"] == run_id
        assert document["state"] == "complete"
        assert document["ended"] - document["started"] == 600
        assert document["parameters"] == {"span": 201310}
        assert document["nodes"]["Trainer"]["state"] == "complete"
        assert document["remark"] == ""

    def test_json_says_where_the_states_have_stopped(self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl) -> None:
        recorded = record("frozen")
        server.replay(submitted(conveyor), recorded.run)

        document = json.loads(conveyor("status", "--json")[1])

        assert "larger than 1 MiB" in document["remark"]
        assert document["nodes"]["Pusher"]["state"] == "complete"

    def test_the_list_has_the_newest_first(self, conveyor: Conveyor, server: KfpServer) -> None:
        runs = [submitted(conveyor, "--note", note) for note in ("one", "two", "three")]
        server.finish(runs[0])

        out = conveyor("status", "--list")[1]
        documents = json.loads(conveyor("status", "--list", "--json", "-n", "2")[1])

        assert [line.split()[0] for line in out.splitlines()[1:]] == runs[::-1]
        assert "complete" in out.splitlines()[3]
        assert [document["note"] for document in documents] == ["three", "two"]

    def test_follow_is_for_one_run_and_people(self, conveyor: Conveyor) -> None:
        assert conveyor("status", "--follow", "--json")[0] == 2
        assert conveyor("status", "--follow", "--list")[0] == 2

    def test_an_unknown_run(self, conveyor: Conveyor) -> None:
        submitted(conveyor)

        code, _, err = conveyor("status", "nonsense")

        assert code == 2
        assert "There is no run 'nonsense'." in err

    def test_a_server_that_is_down(self, conveyor: Conveyor) -> None:
        code, _, err = conveyor("status", "--set", "kubeflow.host=http://127.0.0.1:9")

        assert code == 1
        assert err.startswith("Kubeflow Pipelines: Kubeflow Pipelines cannot be reached.")
        assert "conveyor cluster up" in err


class TestLogs:
    def test_of_the_last_attempt_of_the_latest_run(self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl) -> None:
        run_id = submitted(conveyor)
        kubectl.add("trainer.executor(0)", "first\n")
        kubectl.add("trainer.executor(1)", "second\n")

        code, out, err = conveyor("logs", "trainer")

        assert (code, out) == (0, "second\n")
        assert f"attempt 2 of run {run_id}" in err
        assert conveyor("logs", run_id[:8], "Trainer")[1] == "second\n"

    def test_of_the_driver_of_a_task_that_has_no_other_pod(
        self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl
    ) -> None:
        recorded = record("frozen")
        server.replay(submitted(conveyor), recorded.run)
        kubectl.replay(recorded)

        code, out, err = conveyor("logs", "finish")

        assert code == 0
        assert out == f"log of {recorded.pod('finish-driver(0)')['metadata']['name']}\n"
        assert ", the driver of run " in err

    def test_of_a_pod_that_was_deleted(self, conveyor: Conveyor, server: KfpServer, kubectl: FakeKubectl) -> None:
        recorded = record("pod_deleted")
        server.replay(submitted(conveyor), recorded.run)
        kubectl.replay(recorded)

        code, out, err = conveyor("logs", "Trainer")

        assert (code, out) == (2, "")
        assert "attempt 1: pod deleted" in err

    def test_followed_until_the_end(self, conveyor: Conveyor, kubectl: FakeKubectl) -> None:
        submitted(conveyor)
        kubectl.add("trainer.executor(0)", "epoch 1\nepoch 2\n")

        out = conveyor("logs", "Trainer", "--follow")[1]

        assert [line.strip() for line in out.splitlines()[-2:]] == ["epoch 1", "epoch 2"]
        assert "--follow" in kubectl.calls[-1]

    def test_of_a_node_that_has_not_started(self, conveyor: Conveyor) -> None:
        submitted(conveyor)

        code, _, err = conveyor("logs", "Pusher")

        assert code == 2
        assert "Pusher has not started yet." in err

    def test_of_a_pod_that_is_gone(self, conveyor: Conveyor, server: KfpServer) -> None:
        run_id = submitted(conveyor)
        server.finish(run_id)

        code, _, err = conveyor("logs", "Pusher")

        assert code == 2
        assert "Pusher has no pod any more." in err
        assert f"{server.host}/#/runs/details/{run_id}" in err

    def test_of_an_unknown_node(self, conveyor: Conveyor) -> None:
        submitted(conveyor)

        code, _, err = conveyor("logs", "Trianer")

        assert code == 2
        assert "Did you mean 'Trainer'?" in err

    def test_of_too_many_names(self, conveyor: Conveyor) -> None:
        assert conveyor("logs", "latest", "Trainer", "Pusher")[0] == 2


class TestCancel:
    def test_a_run_at_work(self, conveyor: Conveyor, server: KfpServer) -> None:
        run_id = submitted(conveyor)

        code, out, _ = conveyor("cancel", "latest")

        assert code == 0
        assert f"Run {run_id} of flights" in out
        assert server.show(run_id)["state"] == "CANCELING"
        code, _, err = conveyor("status", "--follow")
        assert code == 1
        assert "The run was cancelled." in err

    def test_a_run_that_has_ended(self, conveyor: Conveyor, server: KfpServer) -> None:
        run_id = submitted(conveyor)
        server.finish(run_id)

        code, _, err = conveyor("cancel", run_id)

        assert code == 2
        assert "nothing to cancel" in err
        assert "complete since" in err
        assert not any(":terminate" in request for request in server.requests)

    def test_which_run_has_to_be_said(self, conveyor: Conveyor) -> None:
        assert conveyor("cancel")[0] == 2


class TestSchedule:
    @staticmethod
    def only(server: KfpServer) -> dict[str, Any]:
        (schedule,) = server.schedules.values()
        return schedule

    def test_each_run_is_on_the_newest_data_and_alone(self, conveyor: Conveyor, server: KfpServer) -> None:
        code, out, err = conveyor("schedule", "--cron", "0 6 * * *", "--set", "data.newest_span=201310")

        schedule = self.only(server)
        assert (code, err) == (0, "")
        assert schedule["display_name"] == "flights"
        assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 6 * * *"}}
        assert schedule["runtime_config"]["parameters"] == {"span": -1}
        assert (schedule["max_concurrency"], schedule["no_catchup"], schedule["status"]) == ("1", True, "ENABLED")
        assert "flights runs cron 0 0 6 * * * UTC" in out
        assert f"{server.host}/#/recurringrun/details/{schedule['recurring_run_id']}" in out

    def test_another_one_replaces_it(self, conveyor: Conveyor, server: KfpServer) -> None:
        conveyor("schedule", "--cron", "0 6 * * *")
        first = self.only(server)["recurring_run_id"]

        _, out, _ = conveyor("schedule", "--every", "12h")

        assert self.only(server)["trigger"] == {"periodic_schedule": {"interval_second": "43200"}}
        assert f"This replaces its schedule cron 0 0 6 * * * UTC ({first})." in out

    def test_a_schedule_that_another_person_made_by_hand_stays(self, conveyor: Conveyor, server: KfpServer) -> None:
        conveyor("schedule", "--cron", "0 6 * * *")
        self.only(server)["display_name"] = "by hand"

        conveyor("schedule", "--every", "1d")

        assert {each["display_name"] for each in server.schedules.values()} == {"by hand", "flights"}

    def test_paused_resumed_and_deleted(self, conveyor: Conveyor, server: KfpServer) -> None:
        conveyor("schedule", "--every", "1d")

        assert "is paused" in conveyor("schedule", "--pause", "flights")[1]
        assert json.loads(conveyor("schedule", "--list", "--json")[1])[0]["state"] == "paused"
        assert "starts runs again" in conveyor("schedule", "--resume", "flights")[1]
        assert re.search(r"^flights +every 1d +active", conveyor("schedule", "--list")[1], re.MULTILINE)
        assert "is deleted" in conveyor("schedule", "--delete", "flights")[1]
        assert server.schedules == {}

    @pytest.mark.parametrize(
        ("arguments", "what"),
        [
            ((), "one thing at a time"),
            (("--cron", "0 6 * * *", "--every", "1d"), "one thing at a time"),
            (("--cron", "0 6 * *"), "five fields"),
            (("--cron", "61 6 * * *"), "The minute"),
            (("--every", "soon"), "not an interval"),
        ],
    )
    def test_what_is_wrong_is_told_before_anything_is_done(
        self, conveyor: Conveyor, server: KfpServer, arguments: tuple[str, ...], what: str
    ) -> None:
        code, _, err = conveyor("schedule", *arguments)

        assert code == 2
        assert what in err
        assert server.requests == []

    def test_an_unknown_schedule(self, conveyor: Conveyor) -> None:
        conveyor("schedule", "--every", "1d")

        code, _, err = conveyor("schedule", "--pause", "flihgts")

        assert code == 2
        assert "Did you mean 'flights'?" in err
