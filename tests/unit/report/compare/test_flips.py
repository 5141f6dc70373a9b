"""Rows on which models disagree: asked of two models that call a row late from different distances on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline.contracts.model import EXAMPLES_SIGNATURE
from pipeline.report.compare.comparison import compare
from pipeline.report.compare.markdown import render_markdown
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.status import RunOutcome, RunState

DISTANCES = [100.0 * number for number in range(1, 13)]


def write_model(folder: Path, late_from: float, *, probability: bool = False, kind: Any = tf.float32) -> None:
    """A model that is 0.9 sure that a flight is late, from a distance on, and 0.8 that it is not below."""

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def serve(self, examples: Any) -> Any:
            parsed = tf.io.parse_example(examples, {"distance": tf.io.FixedLenFeature([], kind)})
            late = tf.cast(parsed["distance"], tf.float32) >= late_from
            score = tf.where(late, 0.9, 0.2)[:, tf.newaxis]
            outputs = {"labels": tf.cast(late, tf.int64)[:, tf.newaxis], "probabilities": tf.concat([1 - score, score], 1)}
            return {**outputs, "probability": tf.fill([tf.size(late), 1], 0.55)} if probability else outputs

    model = Model()
    tf.saved_model.save(model, str(folder / "Format-Serving"), {EXAMPLES_SIGNATURE: model.serve})


def write_rows(folder: Path) -> None:
    """Twelve flights, of which those from 700 miles on are late; those by UA are the shorter half."""
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for distance in DISTANCES:
            example = tf.train.Example()
            example.features.feature["distance"].float_list.value.append(distance)
            example.features.feature["carrier"].bytes_list.value.append(b"UA" if distance <= 600 else b"AA")
            example.features.feature["late"].int64_list.value.append(int(distance >= 700))
            writer.write(example.SerializeToString())


@pytest.fixture
def runs(workspace, config):
    """Two runs; the model of the first calls rows late from 500 miles on, that of the second from 1,000 on."""
    evaluation = config.evaluation.model_copy(update={"slices": (("carrier",),), "min_slice_rows": 2})
    changed = config.model_copy(update={"evaluation": evaluation})
    for run, late_from in (("first", 500.0), ("second", 1000.0)):
        workspace.run(run, f"-{run}")
        content = {"state": RunState.COMPLETE, "started": 1.0, "ended": 2.0, "config": changed.effective()}
        RunOutcome(run_id=run, pipeline="flights", **content).save(config.runs_path / run)
        write_model(workspace.folder("Trainer", "model", f"model-{run}"), late_from)
    write_rows(workspace.folder("ExampleGen", "examples", "examples-second") / "Split-eval")
    return config


def details(config: Any) -> list[Any]:
    return [read_run_details(config, run) for run in ("first", "second")]


def section(comparison: Any, name: str) -> dict[str, tuple[Any, ...]]:
    [found] = [each for each in comparison.sections if each.name == name]
    return {row.subject: (row.values, row.change, row.trend) for row in found.rows}


def test_rows_that_flipped_are_counted_by_slice_with_who_was_right(runs):
    found = section(compare(details(runs), predictions=True), "flips")
    assert found == {
        # 500 to 900 flipped; really late are those from 700 on.
        "all rows": ((pytest.approx(10 / 12), pytest.approx(9 / 12)), "5 of 12 flipped, 41.7 %", "worse"),
        "carrier = AA": ((1.0, 0.5), "3 of 6 flipped, 50.0 %", "worse"),
        "carrier = UA": ((pytest.approx(4 / 6), 1.0), "2 of 6 flipped, 33.3 %", "better"),
    }


def test_examples_have_both_answers_and_what_was_really_so(runs):
    comparison = compare(details(runs), predictions=True)
    found = section(comparison, "flipped_rows")
    assert list(found) == [f"carrier {'UA' if each <= 600 else 'AA'}, distance {each}" for each in (500, 600, 700, 800, 900)]
    assert found["carrier AA, distance 900"] == (("1", "0"), "really 1", "")
    assert "| 1 (0.90) | 0 (0.80) | really 1 |" in render_markdown(comparison)


def test_where_the_threshold_decides_the_labels_own_probability_is_shown(runs, workspace):
    write_model(workspace.folder("Trainer", "model", "model-second"), 1000.0, probability=True)
    assert "0 (0.55)" in render_markdown(compare(details(runs), predictions=True))


def test_models_that_agree_have_no_rows_to_show(runs, workspace):
    write_model(workspace.folder("Trainer", "model", "model-second"), 500.0)
    comparison = compare(details(runs), predictions=True)
    assert section(comparison, "flips") == {}
    assert "Of 12 evaluation rows of the last run, 0 have another class" in render_markdown(comparison)


@pytest.mark.parametrize("missing", ["model", "rows"])
def test_what_is_gone_is_named(runs, workspace, conveyor, missing):
    if missing == "model":
        folder = workspace.folder("Trainer", "model", "model-first") / "Format-Serving"
    else:
        folder = workspace.folder("ExampleGen", "examples", "examples-second") / "Split-eval"
    folder.rename(folder.with_name("elsewhere"))
    code, _, err = conveyor("compare", "first", "second", "--flips")
    assert code == 2
    assert "is not there any more" in err
    assert "Leave --flips out" in err
    assert conveyor("compare", "first", "second")[0] == 0


def test_a_model_that_takes_a_column_as_another_type_is_named(runs, workspace, conveyor):
    write_model(workspace.folder("Trainer", "model", "model-first"), 500.0, kind=tf.int64)
    code, _, err = conveyor("compare", "first", "second", "--flips")
    assert code == 2
    assert "distance is float, and was int64 in the model's training" in err
    assert "model-first" in err


def test_numbers_do_not_flip(runs, conveyor):
    for run in ("first", "second"):
        outcome = RunOutcome.load(runs.runs_path / run)
        outcome.config["task"] = "regression"
        outcome.config["evaluation"]["thresholds"] = {}
        outcome.save(runs.runs_path / run)
    code, _, err = conveyor("compare", "first", "second", "--flips")
    assert code == 2
    assert "Predictions of numbers do not flip." in err
