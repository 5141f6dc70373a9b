"""`conveyor run`: which error ends it."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from pipeline.cli import main as command_line
from pipeline.contracts.schema import ACCEPT_COMMAND
from pipeline.errors import DataError, UsageError
from pipeline.local import training
from pipeline.runs.database import DatabaseDownError
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from pipeline.tracking.marks import FILE_NAME as MARK
from tests.fakes.event_receiver import event_receiver
from tests.fakes.ports import free_port


def test_the_error_that_ended_the_run_is_told_whatever_else_is_wrong(tmp_path, monkeypatch, capsys):
    """Here the metadata store cannot be read when events are posted and the summary is made."""
    with event_receiver() as receiver:
        _run_into_two_problems(tmp_path, monkeypatch, receiver.url)
        assert [each["data"]["state"] for each in receiver.wait_for(1)] == ["failed"]

    printed = capsys.readouterr()
    assert printed.err.startswith("Data error: The label 'price' is not in the data.")
    assert "No report: The metadata store is damaged." in printed.out
    assert "Events without nodes and verdict: The metadata store is damaged." in printed.out


def _run_into_two_problems(tmp_path, monkeypatch, url):
    (tmp_path / "pipeline.yaml").write_text(
        f"name: houses\nlabel: price\ndata: {{input: x.csv}}\nworkspace: {tmp_path}\nevents: {{url: '{url}'}}\n"
    )

    def fail(config, *_, **__):
        problem = Problem.of(DataError("The label 'price' is not in the data.", fix="Correct `label`."))
        outcome = RunOutcome(run_id="first", pipeline="houses", state=RunState.FAILED, ended=1.0, problem=problem)
        outcome.nodes["ExampleGen"] = NodeOutcome(state=NodeState.FAILED, problem=problem)
        outcome.save(config.runs_path / "first")
        config.metadata_path.write_text("not a database")
        return outcome

    monkeypatch.setattr(training, "run_pipeline", fail)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", str(tmp_path / "pipeline.yaml")])
    assert ended.value.code == DataError.exit_code


def test_a_run_is_told_and_kept_for_the_tracking_server_while_its_verdict_cannot_be_read(tmp_path, monkeypatch, capsys):
    def complete(config, *_, **__):
        outcome = RunOutcome(run_id="first", pipeline="houses", state=RunState.COMPLETE, ended=1.0)
        outcome.save(config.runs_path / "first")
        return outcome

    monkeypatch.setattr(training, "run_pipeline", complete)
    monkeypatch.setenv("CONVEYOR_METADATA", f"mysql://root@127.0.0.1:{free_port()}/metadata")
    with event_receiver() as receiver:
        (tmp_path / "pipeline.yaml").write_text(
            f"name: houses\nlabel: price\ndata: {{input: x.csv}}\nworkspace: {tmp_path}\nevents: {{url: '{receiver.url}'}}\n"
            f"tracking: {{mlflow: {{uri: 'http://127.0.0.1:{free_port()}'}}}}\n"
        )
        with pytest.raises(SystemExit) as ended:
            command_line.main(["run", str(tmp_path / "pipeline.yaml")])
        assert [each["data"]["state"] for each in receiver.wait_for(1)] == ["complete"]
    assert ended.value.code == DatabaseDownError.exit_code
    assert "The metadata database cannot be reached." in capsys.readouterr().err
    folder = tmp_path / "runs" / "houses" / "first"
    assert "is not known" in RunOutcome.load(folder).warnings[0]
    assert (folder / MARK).is_file()


@pytest.mark.parametrize("folder", ["project", "a project"])
@pytest.mark.parametrize("other", ["", "other"])
def test_the_command_of_the_remedy_finds_the_configuration_of_the_run(tmp_path, monkeypatch, capsys, folder, other):
    path = tmp_path / folder / "houses.yaml"
    path.parent.mkdir()
    path.write_text(f"name: houses\nlabel: price\ndata: {{input: x.csv}}\nworkspace: {tmp_path}\n")

    def stop(config, *_, **__):
        problem = Problem.of(DataError("The data breaks the schema.", fix=f"Correct the data; or accept it:\n{ACCEPT_COMMAND}"))
        outcome = RunOutcome(run_id="first", pipeline=config.name, state=RunState.FAILED, ended=1.0, problem=problem)
        outcome.save(config.runs_path / "first")
        return outcome

    (tmp_path / "other").mkdir()
    monkeypatch.setattr(training, "run_pipeline", stop)
    with pytest.raises(SystemExit):
        command_line.main(["run", str(path), *(["--set", f"workspace={tmp_path / other}"] if other else [])])
    remedy = next(line for line in capsys.readouterr().err.splitlines() if "conveyor schema" in line)

    accepted = CliRunner().invoke(command_line.app, shlex.split(remedy)[1:])
    assert isinstance(accepted.exception, UsageError)
    assert accepted.exception.where == str(tmp_path / other)
