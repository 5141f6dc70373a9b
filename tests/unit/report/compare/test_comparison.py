"""Runs beside each other: only what differs, in the same words on the terminal, as Markdown, as JSON and as a page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.pusher.push_record import PushRecord
from pipeline import nodes
from pipeline.contracts.judgement import FILE_NAME, Advantage, Judgement
from pipeline.errors import ConfigError
from pipeline.report.compare.comparison import RunsComparison, compare
from pipeline.report.compare.markdown import render_markdown
from pipeline.report.html.comparison_page import render_comparison
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.provenance import Provenance
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from pipeline.util import checkout
from tests.fakes.artifacts import metrics_for_slice, write_records


def record(config: Any, run: str, /, **fields: Any) -> None:
    """Writes run.json as a run does."""
    content = {"state": RunState.COMPLETE, "started": 1.0, "ended": 21.0, "config": config.effective(), **fields}
    RunOutcome(run_id=run, pipeline="flights", **content).save(config.runs_path / run)


def compared(config: Any, *runs: str) -> RunsComparison:
    return compare([read_run_details(config, run) for run in runs])


def rows(comparison: RunsComparison, section: str) -> dict[str, tuple[str, ...]]:
    return {row.subject: row.shown for each in comparison.sections if each.name == section for row in each.rows}


def test_runs_that_do_not_differ_have_no_section(workspace, config):
    made = Provenance.here(config.workspace_path)
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
        record(config, run, provenance=made)
    found = compared(config, "first", "second")
    assert [section.name for section in found.sections if section.rows] == []
    assert found.sentence == "They do not differ."
    assert "They do not differ." in render_markdown(found)


def test_settings_packages_and_commits_that_differ_are_named(workspace, config):
    for run, epochs, keras, commit in (("first", 3, "3.14", "a" * 40), ("second", 5, "3.15", "b" * 40)):
        workspace.run(run, f"-{run}")
        changed = config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})
        made = Provenance(python="3.11.7", packages={"keras": keras, "tfx": "1.21"}, commit=commit, changed=["my_module.py"])
        record(config, run, config=changed.effective(), provenance=made)
    found = compared(config, "first", "second")
    assert rows(found, "settings") == {"training.epochs": ("3", "5")}
    assert rows(found, "code") == {
        "commit": ("aaaaaaaaaaaa, 1 file changed", "bbbbbbbbbbbb, 1 file changed"),
        "keras": ("3.14", "3.15"),
    }
    assert "Changed beside the commit of first: my_module.py." in found.document()["notes"]


def test_a_run_of_an_earlier_release_does_not_say_what_it_was_made_with(workspace, config):
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
        record(config, run, provenance=None if run == "first" else Provenance.here(config.workspace_path))
    assert "Run first does not say what it was made with." in compared(config, "first", "second").document()["notes"]


def test_settings_that_a_run_does_not_tell_are_no_differences(workspace, config):
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
    record(config, "first")
    folder = config.artifacts_path / "Trainer" / "model_run"
    (folder / "model_run-first" / "recipe.json").write_text('{"epochs": 5, "patience": 2}')
    (folder / "model_run-second" / "recipe.json").unlink()
    found = compared(config, "first", "second")
    assert rows(found, "settings") == {}
    assert "Run second does not say its configuration." in found.document()["notes"]
    (folder / "model_run-second" / "recipe.json").write_text('{"epochs": 7, "patience": 2}')
    assert rows(compared(config, "first", "second"), "settings") == {"training: epochs": ("5", "7")}


def test_why_a_run_failed_is_told(workspace, config):
    problem = Problem.of(ConfigError("The baseline cannot be compared with.", where="features", fix="Read the columns."))
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
        failed = {"state": RunState.FAILED, "problem": problem} if run == "second" else {}
        record(config, run, **failed)
    found = compared(config, "first", "second")
    told = "Run second failed. The baseline cannot be compared with. Read the columns."
    assert told in found.document()["notes"]
    assert told in render_markdown(found)


def test_three_runs_stand_in_the_order_in_which_they_are_named(workspace, config):
    for run in ("first", "second", "third"):
        workspace.run(run, f"-{run}")
        record(config, run, note=f"the {run}")
    found = compared(config, "third", "first", "second")
    assert rows(found, "outcome") == {"note": ("the third", "the first", "the second")}
    assert [run["id"] for run in found.document()["runs"]] == ["third", "first", "second"]


def test_the_slices_that_differ_most_come_first(workspace, config):
    for run, shift in (("first", 0.0), ("second", 0.1)):
        workspace.run(run, f"-{run}")
        record(config, run)
        folder = config.artifacts_path / "Evaluator" / "evaluation" / f"evaluation-{run}"
        keys = {(): 0.7, (("carrier", "AA"),): 0.6 + shift, (("carrier", "UA"),): 0.6 - 2 * shift, (("carrier", "B6"),): 0.6}
        messages = [
            metrics_for_slice(key, {"auc": {"candidate": auc}, "example_count": {"candidate": 100.0}})
            for key, auc in keys.items()
        ]
        write_records(folder / "metrics-00000-of-00001.tfrecord", messages)
    found = rows(compared(config, "first", "second"), "slices")
    assert found == {"carrier = UA": ("0.6000", "0.4000"), "carrier = AA": ("0.6000", "0.7000")}
    assert list(found) == ["carrier = UA", "carrier = AA"]


def test_a_metric_on_other_rows_is_neither_better_nor_worse(workspace, config):
    for run, auc in (("first", 0.7), ("second", 0.8)):
        workspace.run(run, f"-{run}")
        record(config, run)
        folder = config.artifacts_path / "Evaluator" / "evaluation" / f"evaluation-{run}"
        values = {"auc": {"candidate": auc}, "example_count": {"candidate": 100.0}}
        write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), values)])
    found = compared(config, "first", "second")
    [row] = next(each for each in found.sections if each.name == "metrics").rows
    assert (row.subject, row.shown, row.change, row.trend) == ("auc", ("0.7000", "0.8000"), "+0.1000", "better")

    details = [read_run_details(config, run) for run in ("first", "second")]
    object.__setattr__(details[1].data, "boundary", "2013-04-01")
    [row] = next(each for each in compare(details).sections if each.name == "metrics").rows
    assert row.trend == ""
    assert "evaluated on different rows" in render_markdown(compare(details))


def test_the_gain_over_the_first_model_has_the_evaluators_interval(workspace, config):
    workspace.run("first", "-first", version="1")
    workspace.run("second", "-second", baseline="model-first", version="2")
    workspace.execute("second", nodes.RESOLVER.id, inputs={"model": "model-first"}, outputs={"model": "model-first"})
    for run in ("first", "second"):
        record(config, run)
    folder = config.artifacts_path / "Evaluator" / "evaluation" / "evaluation-second"
    gain = Advantage("auc", 0.8, 0.75, 0.05, 0.02, 0.08, holds=True)
    (folder / FILE_NAME).write_text(Judgement(0.95, baseline={"auc": gain}).to_json())
    notes = compared(config, "first", "second").document()["notes"]
    assert any("better in auc than the first by 0.0500. It gains between +0.0200 and +0.0800" in note for note in notes)
    assert any("confidence of 95%: more than chance." in note for note in notes)
    assert not any("had to do without" in note for note in notes)

    # The first model takes a column that the rows of the second run lack.
    description = (
        config.artifacts_path / "Trainer" / "model" / "model-first" / "Format-Serving" / "assets.extra" / "conveyor.json"
    )
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "features": {**content["features"], "wind": "float"}}))
    notes = compared(config, "first", "second").document()["notes"]
    assert any("the first model had to do without wind, which the last run did not read" in note for note in notes)


@pytest.fixture
def changed(workspace, config):
    """Changes the statistics of a column of the second of two runs; returns the columns that are told to have moved."""
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
        record(config, run)

    def change(column: str, split: str, edit: Callable[[Any], None]) -> list[tuple[str, str]]:
        from tensorflow_metadata.proto.v0 import statistics_pb2

        folder = config.artifacts_path / "StatisticsGen" / "statistics" / "statistics-second"
        path = folder / f"Split-{split}" / "FeatureStats.pb"
        table = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        edit(next(each for each in table.datasets[0].features if each.path.step[0] == column))
        path.write_bytes(table.SerializeToString())
        found = compared(config, "first", "second").sections
        return [(row.subject, row.change) for each in found if each.name == "statistics" for row in each.rows]

    return change


def test_columns_that_moved_beyond_chance_are_shown_and_others_are_not(changed):
    def move(column: Any) -> None:
        column.num_stats.mean += 2 * column.num_stats.std_dev

    assert changed("distance", "train", move) == [("distance, train", "+2.0000 s.d.")]


def test_missing_values_are_a_share_of_the_rows_also_of_a_number(changed):
    def lose(column: Any) -> None:
        column.num_stats.common_stats.num_non_missing = 40

    assert changed("distance", "train", lose) == [("distance, train", "+0.3000")]


def test_a_value_that_a_few_rows_have_for_the_first_time_may_be_chance(changed):
    def add(column: Any) -> None:
        column.string_stats.rank_histogram.buckets.add(label="LGA", sample_count=3)

    assert changed("origin", "eval", add) == []


def test_a_value_that_lists_have_more_than_once_a_row_is_compared(changed):
    def repeat(column: Any) -> None:
        column.string_stats.rank_histogram.buckets[0].sample_count = 500

    assert changed("origin", "eval", repeat) == [("origin, eval", "+4.5000")]


def test_a_schema_that_changed_names_the_column(workspace, config):
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
        record(config, run)
    path = config.artifacts_path / "SchemaGen" / "schema" / "schema-second" / "schema.pbtxt"
    path.write_text(path.read_text().replace("type: BYTES", "type: FLOAT", 1))
    changed = rows(compared(config, "first", "second"), "schema")
    assert len(changed) == 1
    assert all(texts[0] != texts[1] for texts in changed.values())


def test_times_that_differ_by_chance_are_not_shown(workspace, config):
    for run, seconds in (("first", 10.0), ("second", 10.9), ("third", 30.0)):
        workspace.run(run, f"-{run}")
        trainer = NodeOutcome(state=NodeState.COMPLETE, started=1.0, ended=1.0 + seconds)
        record(config, run, ended=1.0 + seconds, nodes={"Trainer": trainer})
    assert rows(compared(config, "first", "second"), "times") == {}
    assert rows(compared(config, "first", "third"), "times") == {
        "Trainer": ("10.0 s", "30.0 s"),
        "in all": ("10.0 s", "30.0 s"),
    }


def test_names_are_text_in_every_form(workspace, config):
    for run, label in (("first", "<script>alert(1)</script>|`x`"), ("second", "late")):
        workspace.run(run, f"-{run}")
        record(config, run, config={**config.effective(), "label": label})
    found = compared(config, "first", "second")
    assert "<script>" not in render_comparison(found)
    line = next(line for line in render_markdown(found).splitlines() if "script" in line)
    assert r"\<script\>alert(1)\</script\>\|\`x\`" in line


def test_the_command_takes_versions_and_writes_a_page(workspace, config, conveyor, tmp_path):
    for run, version in (("20260101-000000", "1"), ("20260102-000000", "2")):
        workspace.run(run, f"-{run}", version=version)
        record(config, run, note=f"of {run}")
    page = tmp_path / "pages" / "compared.html"
    code, out, err = conveyor("compare", "v1", "latest", "--page", str(page))
    assert (code, err) == (0, "")
    assert "20260101-000000 (v1)" in out
    assert "of 20260101-000000" in out
    assert "of 20260102-000000" in page.read_text()
    document = json.loads(conveyor("compare", "v1", "v2", "--json")[1])
    assert [run["version"] for run in document["runs"]] == ["1", "2"]
    assert document["differences"]["outcome"][0]["values"] == ["of 20260101-000000", "of 20260102-000000"]
    assert conveyor("compare", "v1", "v2", "--markdown")[1].startswith("## flights: ")


def test_one_run_is_not_compared(workspace, config, conveyor):
    workspace.run("first", "-first", version="1")
    record(config, "first")
    code, _, err = conveyor("compare", "v1", "latest")
    assert code == 2
    assert "There is only one run to compare." in err
    code, _, err = conveyor("compare", "v1", "v9")
    assert code == 2
    assert "has not pushed a version 9" in err
    # A folder that was copied from another workspace.
    PushRecord("flights", "elsewhere", 1, {}).save(config.serving_path / "9")
    code, _, err = conveyor("compare", "v1", "v9")
    assert code == 2
    assert "has not pushed a version 9" in err


def test_what_is_in_the_workspace_has_not_changed_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    monkeypatch.chdir(tmp_path)
    assert Provenance.here(tmp_path / "work").commit == ""
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "run.json").write_text("{}")
    made = Provenance.here(tmp_path / "work")
    assert (len(made.commit), made.changed, made.revision) == (40, [], made.commit[:12])
    (tmp_path / "module.py").write_text("")
    made = Provenance.here(tmp_path / "work")
    assert made.changed == ["module.py"]
    assert made.revision == f"{made.commit[:12]}, 1 file changed"


def test_what_git_does_not_tell_is_not_called_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.util.git.ask", lambda folder, command, *_: "a" * 40 if command == "rev-parse" else None)
    assert Provenance.here(tmp_path).revision == f"{'a' * 12}, changes unknown"
    assert checkout.revision(["pipeline"]) == checkout.UNKNOWN


@pytest.mark.parametrize(("auc", "code"), [(0.8, 0), (0.7, 0), (0.695, 0), (0.65, 5)])
def test_the_command_fails_on_request_for_a_model_that_is_worse(workspace, config, conveyor, tmp_path, auc, code):
    for run, value in (("first", 0.7), ("second", auc)):
        workspace.run(run, f"-{run}")
        record(config, run)
        folder = config.artifacts_path / "Evaluator" / "evaluation" / f"evaluation-{run}"
        values = {"auc": {"candidate": value}, "example_count": {"candidate": 100.0}}
        write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), values)])
    allowed = ("--set", "evaluation.thresholds.auc.max_regression=0.01")
    assert conveyor("compare", "first", "second", *allowed)[0] == 0
    status, out, err = conveyor("compare", "first", "second", "--markdown", "--fail-if-worse", *allowed)
    assert status == code
    assert out.startswith("## flights: first and second")
    if code:
        assert "The last model is worse than the first in auc." in err
        assert "at most 0.01 worse" in err


def test_a_model_that_was_evaluated_on_other_rows_is_not_called_worse(workspace, config):
    for run, value in (("first", 0.7), ("second", 0.6)):
        workspace.run(run, f"-{run}")
        record(config, run)
        folder = config.artifacts_path / "Evaluator" / "evaluation" / f"evaluation-{run}"
        values = {"auc": {"candidate": value}, "example_count": {"candidate": 100.0}}
        write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), values)])
    details = [read_run_details(config, run) for run in ("first", "second")]
    assert compare(details).primary.trend == "worse"
    object.__setattr__(details[1].data, "boundary", "2013-04-01")
    assert compare(details).primary.trend == ""


def test_memory_is_compared_where_it_differs_clearly(workspace, config):
    million = 10**6
    peaks = {"Trainer": (400, 900), "Evaluator": (400, 440), "Transform": (10, 40), "Pusher": (None, 900)}
    for place, run in enumerate(("first", "second")):
        workspace.run(run, f"-{run}")
        made = {node: NodeOutcome(state=NodeState.COMPLETE, started=1.0, ended=2.0) for node in peaks}
        for node, each in peaks.items():
            megabytes = each[place]
            made[node].peak_bytes = None if megabytes is None else megabytes * million
        record(config, run, nodes=made)
    assert rows(compared(config, "first", "second"), "memory") == {"Trainer": ("400 MB", "900 MB")}
