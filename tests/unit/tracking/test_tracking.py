"""What a tracking server is told: of runs that end, of those that it has missed, and of the rollout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline import nodes
from pipeline.cli.serving_target import Target, aliases_follow
from pipeline.config.tracking import Mlflow, Tracking
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.provenance import Provenance
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from pipeline.tracking import track_ended, track_rollout
from pipeline.tracking.marks import Aliases, read_aliases
from pipeline.tracking.record import RunRecord, record_of
from pipeline.tracking.runs import send_run
from pipeline.tracking.server import PASSWORD, TOKEN, USER, TrackingServer
from serving.rollout.state import RolloutState
from tests.fakes.artifacts import metrics_for_slice, write_records
from tests.fakes.mlflow_server import MlflowServer
from tests.fakes.ports import free_port


@pytest.fixture
def server() -> Iterator[MlflowServer]:
    with MlflowServer().serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    for name in (TOKEN, USER, PASSWORD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(config, server):
    return tracked(config, server.uri)


def tracked(config: Any, uri: str, experiment: str = "{name}") -> Any:
    return config.model_copy(update={"tracking": Tracking(mlflow=Mlflow(uri=uri, experiment=experiment))})


def run(workspace: Any, config: Any, name: str, version: str = "", **fields: Any) -> None:
    """A run that has ended, with a report."""
    workspace.run(name, f"-{name}", version=version)
    made = Provenance(python="3.11.7", commit="a" * 40, changed=["mine.py"])
    times = {"started": 1000.0, "ended": 1021.5}
    content = {"state": RunState.COMPLETE, "provenance": made, "config": config.effective(), **times, **fields}
    RunOutcome(run_id=name, pipeline="flights", **content).save(config.runs_path / name)
    (config.runs_path / name / "report.html").write_text(f"<h1>{name}</h1>")
    (config.runs_path / name / "model_card.md").write_text("# Model card")


def test_a_run_is_there_with_its_parameters_metrics_tags_and_files(workspace, config, server):
    node = NodeOutcome(state=NodeState.COMPLETE, started=1001.0, ended=1004.5)
    run(workspace, config, "first", version="1", nodes={nodes.TRAINER.id: node}, note="the first")

    assert track_ended(config, "first") is None

    sent = server.run("first")
    assert sent["info"] | {"run_id": "", "artifact_uri": ""} == {
        "run_id": "",
        "artifact_uri": "",
        "experiment_id": server.experiments["flights"]["experiment_id"],
        "run_name": "first",
        "status": "FINISHED",
        "start_time": 1_000_000,
        "end_time": 1_021_500,
    }
    assert sent["params"]["label"] == "late"
    assert sent["params"]["evaluation.min_slice_rows"] == "10"
    assert not any(name.startswith(("kubeflow", "gateway", "workspace")) for name in sent["params"])
    metrics = server.metrics("first")
    assert metrics["auc"] == [(0, 0.8)]
    assert metrics["slices/origin: JFK/auc"] == [(0, 0.9)]
    assert metrics["seconds/Trainer"] == [(0, 3.5)]
    assert [step for step, _ in metrics["epoch/val_loss"]] == [1, 2, 3]
    tags = sent["tags"]
    assert tags["conveyor.data.train"].startswith("spans 1")
    assert tags["conveyor.data.eval"] == "span 3"
    assert tags["conveyor.version"] == "1"
    assert tags["conveyor.blessed"] == "true"
    assert tags["conveyor.lineage.runs"] == "first"
    assert tags["mlflow.source.git.commit"] == "a" * 40
    assert tags["mlflow.note.content"] == "the first"
    root = sent["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert server.files[f"{root}/report.html"] == b"<h1>first</h1>"
    assert server.files[f"{root}/model_card.md"] == b"# Model card"


def test_slices_whose_names_mlflow_would_refuse_keep_metrics_of_their_own(workspace, config, server):
    run(workspace, config, "first")
    values = {"a/b": 0.6, "a b%": 0.7, "a?b": 0.8, "a*b": 0.9, "..": 0.5, "ü" * 300: 0.4}
    keys: dict[tuple[tuple[str, str], ...], float] = {(("origin", value),): auc for value, auc in values.items()}
    write_records(
        config.artifacts_path / "Evaluator" / "evaluation" / "evaluation-first" / "metrics-00000-of-00001.tfrecord",
        [metrics_for_slice(key, {"auc": {"": auc}, "example_count": {"": 50.0}}) for key, auc in {(): 0.7, **keys}.items()],
    )

    assert track_ended(config, "first") is None

    found = {name: value for name, [(_, value), *_] in server.metrics("first").items() if re.search(r"slices/.*/auc", name)}
    assert sorted(found.values()) == sorted(values.values())
    assert found["slices/origin: a_b/auc"] != found["slices/origin: a_b/auc 2"]


def test_a_pushed_model_is_a_version_with_source_signature_and_digest(workspace, config, server):
    run(workspace, config, "first", version="7")
    run(workspace, config, "second")

    assert [track_ended(config, name) for name in ("first", "second")] == [None, None]

    [version] = server.models["flights"]
    root = server.run("first")["info"]["artifact_uri"]
    assert version["source"] == f"{root}/model"
    assert version["run_id"] == server.run("first")["info"]["run_id"]
    assert version["tags"]["conveyor.version"] == "7"
    assert version["tags"]["conveyor.destination"] == str(config.serving_path / "7")
    folder = f"{root.removeprefix('mlflow-artifacts:/')}/model"
    assert server.files[f"{folder}/saved_model/saved_model.pb"] == bytes(2000)
    assert "signature_def_key: predict_raw" in server.files[f"{folder}/MLmodel"].decode()


def test_the_same_model_is_registered_once_whichever_run_names_it(workspace, config, server):
    run(workspace, config, "first", version="7")
    track_ended(config, "first")
    files = set(server.files)

    assert track_ended(config, "first") is None
    run(workspace, config, "second", version="7")
    assert track_ended(config, "second") is None

    assert len(server.models["flights"]) == 1
    assert not any("/model/" in name for name in set(server.files) - files)
    assert len(server.runs) == 2


def test_a_server_that_leaves_artifacts_to_a_store_gets_none(workspace, config, server):
    server.proxies = False
    run(workspace, config, "first", version="7")

    assert track_ended(config, "first") is None

    assert server.files == {}
    assert server.models["flights"][0]["source"] == "conveyor://flights/7"


def test_what_a_server_that_was_away_has_missed_is_sent_with_the_next_run(workspace, config, server):
    away = tracked(config, f"http://127.0.0.1:{free_port()}")
    run(workspace, away, "first")
    problem = track_ended(away, "first")
    assert problem is not None
    assert "does not answer" in problem.what
    assert "the next run sends what was missed" in problem.fix

    server.broken = 502
    run(workspace, config, "second")
    assert "502" in track_ended(config, "second").seen
    server.broken = None
    run(workspace, config, "third")
    assert track_ended(config, "third") is None

    # The first was meant for another server.
    assert sorted(each["info"]["run_name"] for each in server.runs.values()) == ["second", "third"]


def test_a_run_that_was_sent_in_part_is_completed_and_not_made_again(workspace, config, server):
    run(workspace, config, "first", version="1")
    server.refuses = "model-versions/create"
    problem = track_ended(config, "first")
    assert "does not take" in problem.what
    assert "INVALID_PARAMETER_VALUE: No." in problem.seen

    server.refuses = ""
    run(workspace, config, "second")
    assert track_ended(config, "second") is None

    assert len(server.runs) == 2
    assert len(server.models["flights"]) == 1
    assert server.run("first")["info"]["status"] == "FINISHED"


def test_a_run_that_is_refused_does_not_keep_later_ones_from_being_sent(workspace, config, server):
    server.refuses = "log-batch"
    run(workspace, config, "first")
    track_ended(config, "first")
    server.refuses = "/report.html"
    run(workspace, config, "second")
    assert track_ended(config, "second") is not None
    assert {each["info"]["run_name"] for each in server.runs.values()} == {"first", "second"}


def test_a_deleted_experiment_says_how_to_restore_it(workspace, config, server):
    run(workspace, config, "first")
    assert track_ended(config, "first") is None
    server.experiments["flights"]["lifecycle_stage"] = "deleted"
    run(workspace, config, "second")

    problem = track_ended(config, "second")

    assert problem.what == "The experiment has been deleted."
    assert f"mlflow experiments restore --experiment-id {server.experiments['flights']['experiment_id']}" in problem.fix
    other = tracked(config, server.uri, "another")
    assert track_ended(other, "second") is None
    assert server.run("second")["info"]["experiment_id"] == server.experiments["another"]["experiment_id"]


def test_an_address_of_something_else_is_told_as_such(workspace, config, server):
    run(workspace, config, "first")
    problem = track_ended(tracked(config, f"{server.uri}/elsewhere"), "first")
    assert problem.what == "This is not an MLflow tracking server."
    assert "tracking.mlflow.uri" in problem.fix


@pytest.mark.parametrize(
    ("given", "header"),
    [({TOKEN: "s3cret"}, "Bearer s3cret"), ({USER: "ada", PASSWORD: "s3cret"}, "Basic YWRhOnMzY3JldA==")],
)
def test_credentials_come_from_mlflows_own_variables_and_are_never_shown(workspace, config, server, monkeypatch, given, header):
    server.authorization = header
    run(workspace, config, "first")
    nobody = track_ended(config, "first")
    assert nobody.what == "The tracking server lets nobody in who does not say who they are."
    assert all(name in nobody.fix for name in (TOKEN, USER, PASSWORD))

    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert track_ended(config, "first") is None
    server.authorization = "Bearer another"
    refused = track_ended(config, "first")
    assert refused.what == f"The tracking server refuses what {next(iter(given))} says."
    assert "s3cret" not in str(refused)


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines", " "])
def test_a_token_that_cannot_be_one_ends_no_run(workspace, config, server, monkeypatch, token):
    server.authorization = "Bearer another"
    monkeypatch.setenv(TOKEN, token)
    run(workspace, config, "first")
    assert track_ended(config, "first") is not None


def test_the_aliases_follow_the_rollout(workspace, config, server):
    for name, version in (("first", "1"), ("second", "2"), ("third", "3")):
        run(workspace, config, name, version=version)
        assert track_ended(config, name) is None

    def change(stable: int | None, canary: int | None) -> tuple[str | None, str | None]:
        assert track_rollout(config, str(config.serving_path), stable, canary) is None
        return server.alias("flights", "stable"), server.alias("flights", "canary")

    assert change(1, 3) == ("1", "3")
    assert change(3, None) == ("3", None)
    assert change(1, None) == ("1", None)


def test_commands_of_the_rollout_move_the_aliases_and_go_on_without_a_server(workspace, config, server, conveyor):
    for name, version in (("first", "1"), ("second", "2")):
        run(workspace, config, name, version=version)
        (config.serving_path / version).mkdir(parents=True)
        (config.serving_path / version / "saved_model.pb").write_text("graph")
        assert track_ended(config, name) is None
    nobody = ("--server", "127.0.0.1:9", "--gateway", "http://127.0.0.1:9")

    assert conveyor("rollout", "start", "2", *nobody)[0] == 0
    assert (server.alias("flights", "stable"), server.alias("flights", "canary")) == ("1", "2")
    server.broken = 502
    code, out, err = conveyor("rollout", "promote", *nobody)
    assert (code, out) == (0, "flights, local: stable 1, canary 2 at 10 % → stable 2\n")
    assert "Not tracked: The tracking server does not answer." in err
    server.broken = None
    assert conveyor("track") == (0, "The aliases have moved.\n", "")
    assert (server.alias("flights", "stable"), server.alias("flights", "canary")) == ("2", None)


def test_versions_of_a_cluster_are_those_of_its_volume(workspace, config, server):
    for name, place in (("laptop", str(config.serving_path)), ("pod", "/conveyor/models/flights")):
        workspace_of = {"kubeflow": config.kubeflow.model_copy(update={"mount_path": "/conveyor"})}
        run(workspace, config, name, version="1")
        details = read_run_details(config, name)
        details.run.output(nodes.PUSHER.id, "pushed_model").properties["pushed_destination"] = f"{place}/1"
        with TrackingServer(server.uri, 60) as there:
            send_run(there, "flights", record_of(details))
    aliases_follow(config.model_copy(update=workspace_of), Target.CLUSTER)(RolloutState(stable=1))
    assert server.aliases["flights", "stable"] == "2"


def test_aliases_that_were_missed_move_when_the_version_has_come(workspace, config, server):
    server.broken = 503
    run(workspace, config, "first", version="1")
    track_ended(config, "first")
    assert track_rollout(config, str(config.serving_path), 1, None) is not None
    server.broken = None
    unknown = track_rollout(config, str(config.serving_path), 1, None)
    assert unknown.what == "The registry does not know version 1 of flights."
    assert "conveyor track v1" in unknown.fix

    run(workspace, config, "second")
    assert track_ended(config, "second") is None

    assert server.alias("flights", "stable") == "1"


def test_the_newest_model_of_a_version_whose_number_was_given_again_has_the_alias(workspace, config, server):
    run(workspace, config, "first", version="1")
    track_ended(config, "first")
    run(workspace, config, "second", version="1")
    path = workspace.folder("Trainer", "model", "model-second") / "Format-Serving" / "assets.extra" / "conveyor.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "b" * 32}))
    assert track_ended(config, "second") is None
    assert track_rollout(config, str(config.serving_path), 1, None) is None
    assert server.aliases["flights", "stable"] == "2"


def test_a_failed_run_is_told_with_its_problem(workspace, config, server):
    run(workspace, config, "first", state=RunState.FAILED)
    assert track_ended(config, "first") is None
    assert server.run("first")["info"]["status"] == "FAILED"


def test_a_run_whose_state_is_damaged_is_not_sent_as_if_it_were_known(workspace, config, server, conveyor):
    run(workspace, config, "first")
    (config.runs_path / "first" / "run.json").write_text('{"run_id": "fir')

    code, _, err = conveyor("track", "first")
    assert code == 1
    assert "The state of run first cannot be read." in err
    assert not server.runs
    run(workspace, config, "second")
    track_ended(config, "second")
    assert server.run("second")["info"]["status"] == "FINISHED"


def test_without_a_server_nothing_is_kept(workspace, config, server):
    untracked = config.model_copy(update={"tracking": Tracking()})
    run(workspace, untracked, "first")
    assert track_ended(untracked, "first") is None
    assert track_rollout(untracked, str(config.serving_path), 1, None) is None
    assert server.calls == []
    assert not (config.runs_path / "first" / "tracking.json").exists()


@pytest.mark.parametrize("damage", ["", "{", '{"server": 3}'])
def test_a_damaged_mark_counts_as_none(workspace, config, server, damage):
    run(workspace, config, "first")
    (config.runs_path / "first" / "tracking.json").write_text(damage)
    run(workspace, config, "second")
    assert track_ended(config, "second") is None
    assert len(server.runs) == 1


def test_aliases_that_were_damaged_count_as_none(config):
    Aliases(folder="models", stable=2, canary=3).save(config)
    assert read_aliases(config) == Aliases(folder="models", stable=2, canary=3)

    (kept,) = (config.workspace_path / "tracking").glob("*.json")
    kept.write_text(kept.read_text().replace('"stable": 2', '"stable": 3'))
    assert read_aliases(config) is None


def test_the_command_sends_what_was_missed_what_is_named_and_all(workspace, config, server, conveyor):
    for name in ("first", "second", "third"):
        run(workspace, config, name)
    assert conveyor("track") == (0, "Nothing was missed.\n", "")
    assert conveyor("track", "second") == (0, "second: sent\n", "")
    assert conveyor("track", "--all") == (0, "first: sent\nthird: sent\n", "")
    server.broken = 502
    track_ended(config, "first")
    code, out, err = conveyor("track")
    assert (code, out) == (1, "first: The tracking server does not answer.\n")
    assert "Tracking: The tracking server does not answer." in err
    server.broken = None
    code, out, _ = conveyor("track", "--json")
    assert (code, json.loads(out)["runs"]) == (0, [{"run": "first", "problem": None}])
    assert len(server.runs) == 3


def test_a_run_that_is_at_work_is_not_sent_as_one_that_has_ended(workspace, config, server, conveyor):
    run(workspace, config, "first", state=RunState.RUNNING, ended=None)
    code, _, err = conveyor("track", "first")
    assert code == 2
    assert "Run first has not ended." in err
    assert server.runs == {}


def test_the_command_says_what_to_configure(config, conveyor, tmp_path):
    code, _, err = conveyor("track", "--set", "tracking.mlflow=null")
    assert code == 2
    assert "tracking: {mlflow: {uri: http://localhost:5000}}" in err


def test_aliases_move_whatever_is_wrong_with_an_old_run(workspace, config, server, conveyor):
    run(workspace, config, "second", version="2")
    track_ended(config, "second")
    server.broken = 502
    run(workspace, config, "first")
    track_ended(config, "first")
    track_rollout(config, str(config.serving_path), stable=2, canary=None)
    server.broken = None
    (config.runs_path / "first" / "run.json").write_text("damaged")

    code, out, err = conveyor("track")
    assert "The aliases have moved." in out
    assert server.aliases["flights", "stable"] == "1"
    # The run is told all the same, each time.
    assert (code, "The state of run first cannot be read." in err) == (1, True)
    track_rollout(config, str(config.serving_path), stable=None, canary=2)
    assert "cannot be read" in str(track_ended(config, "second"))
    assert server.aliases == {("flights", "canary"): "1"}


def test_runs_of_two_pipelines_that_began_in_the_same_second_are_two_in_a_shared_experiment(workspace, config, server):
    run(workspace, config, "first")
    record = record_of(read_run_details(config, "first"))
    with TrackingServer(server.uri, 60) as connection:
        ids = [send_run(connection, "shared", each) for each in (record, of_other_pipeline(record), record)]
    assert ids[0] == ids[2] != ids[1]


def of_other_pipeline(record: RunRecord) -> RunRecord:
    """The same run of the pipeline `houses`."""
    return replace(record, pipeline="houses", tags={**record.tags, "conveyor.pipeline": "houses"}, model=None)
