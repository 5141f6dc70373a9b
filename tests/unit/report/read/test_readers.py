"""From the files in artifacts to what the report says of them."""

from __future__ import annotations

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.html.evaluation_view import EvaluationView
from pipeline.report.read.anomalies import read_anomalies
from pipeline.report.read.evaluation import read_evaluation
from pipeline.report.read.protos import read_records, tfma_protos
from pipeline.report.read.saved_model import read_saved_model
from pipeline.report.read.schema import read_schema
from pipeline.report.read.slices import CANDIDATE, Comparison
from pipeline.report.read.statistics import read_statistics
from pipeline.report.read.training import Training, read_training
from pipeline.report.read.transformation import TransformedFeature, Vocabulary, read_transformation
from pipeline.report.read.tuning import read_hyperparameters, read_tuning
from tests.fakes import artifacts
from tests.fakes.artifacts import EVIL, OVERALL

READERS = (
    read_anomalies,
    read_evaluation,
    read_saved_model,
    read_schema,
    read_tuning,
    read_statistics,
    read_training,
    read_transformation,
)


@pytest.mark.parametrize("read", READERS)
def test_an_artifact_whose_files_are_gone_is_a_missing_file(read, tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "deleted")


def test_metrics_stand_beside_the_baselines(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=True)
    evaluation = read_evaluation(tmp_path)

    assert evaluation.has_baseline
    assert evaluation.primary_metric == "auc"
    assert evaluation.overall.rows == 100
    assert evaluation.overall.metric("auc") == Comparison("auc", 0.8, 0.75)
    assert [each.label for each in evaluation.slices] == ["all rows", f"origin = {EVIL}", "origin = JFK"]


@pytest.mark.parametrize(
    ("metric", "value", "mean_label", "reason"),
    [
        ("auc", 0.0, 0.0, "no row is positive"),
        ("auc", 1.0, 1.0, "no row is negative"),
        ("recall", math.nan, 0.0, "no row is positive"),
        ("precision", math.nan, 0.3, "no row has a score above the threshold"),
        ("calibration", math.nan, 0.3, "it divides by zero"),
    ],
)
def test_a_metric_without_a_value_says_why(tmp_path, metric, value, mean_label, reason):
    values = {metric: {"": value}, "mean_label": {"": mean_label}}
    artifacts.write_records(tmp_path / "metrics-00000-of-00001.tfrecord", [artifacts.metrics_for_slice((), values)])
    overall = read_evaluation(tmp_path).overall

    assert overall.undefined(metric).reason == reason
    assert math.isnan(overall.metric(metric).candidate)
    assert overall.undefined("mean_label") is None
    assert overall.undefined("absent") is None


@pytest.mark.parametrize("fails", [True, False])
def test_a_threshold_by_slice_names_the_slices_that_it_does_not_hold_for(tmp_path, fails):
    artifacts.write_evaluation(tmp_path, baseline=False)
    document = json.loads((tmp_path / "eval_config.json").read_text())
    (metric,) = document["evalConfig"]["metricsSpecs"][0]["metrics"]
    threshold = {"valueThreshold": {"lowerBound": 0.65}}
    metric["perSliceThresholds"].append({"slicingSpecs": [{"featureKeys": ["origin"]}], "threshold": threshold})
    (tmp_path / "eval_config.json").write_text(json.dumps(document))
    validation = tfma_protos("validation_result_pb2").ValidationResult()
    if fails:
        failed = validation.metric_validations_per_slice.add()
        failed.slice_key.single_slice_keys.add(column="origin", bytes_value=EVIL.encode())
        failed.failures.add().metric_key.name = "auc"
    artifacts.write_records(tmp_path / "validations.tfrecord", [validation])
    evaluation = read_evaluation(tmp_path)

    (check,) = [check for check in evaluation.checks if check.slice]
    assert (check.bound, check.holds) == ("≥ 0.65", not fails)
    assert check.slice == (f"origin = {EVIL}" if fails else "each origin")
    if fails:
        assert check.sentence() == f"auc for origin = {EVIL} is 0.6, wanted ≥ 0.65"


def test_a_first_evaluation_has_no_baseline(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=False)
    evaluation = read_evaluation(tmp_path)

    assert not evaluation.has_baseline
    assert evaluation.overall.metric("auc") == Comparison("auc", 0.8, None)
    assert [check.bound for check in evaluation.checks] == ["≥ 0.7"]


@pytest.mark.parametrize(
    ("metric", "candidate", "baseline", "trend"),
    [
        ("auc", 0.8, 0.7, "better"),
        ("auc", 0.7, 0.8, "worse"),
        ("loss", 0.4, 0.5, "better"),
        ("calibration", 1.02, 0.9, "better"),
        ("calibration", 1.2, 0.9, "worse"),
        ("mean_label", 0.3, 0.2, ""),
        ("auc", 0.8, 0.8, ""),
        ("auc", math.nan, 0.8, ""),
        ("auc", 0.8, None, ""),
    ],
)
def test_better_and_worse_follow_the_metric(metric, candidate, baseline, trend):
    assert Comparison(metric, candidate, baseline).trend == trend


def test_a_threshold_that_failed_comes_first_with_what_was_seen(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=True, min_auc=0.9)
    first, second = read_evaluation(tmp_path).checks

    assert not first.holds
    assert first.sentence() == "auc is 0.8, wanted ≥ 0.9"
    assert second.holds
    assert second.sentence() == "auc against the baseline is +0.05, wanted ≥ -0.01"


def test_the_weakest_slices_have_enough_rows(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=True)
    evaluation = read_evaluation(tmp_path)

    assert [each.label for each in evaluation.worst_slices(5, min_rows=1)] == [f"origin = {EVIL}", "origin = JFK"]
    assert [each.label for each in evaluation.worst_slices(5, min_rows=50)] == ["origin = JFK"]


def test_a_slice_without_a_metric_is_not_among_the_weakest(tmp_path):
    slices = [
        artifacts.metrics_for_slice(key, {"auc": {"": value}, "example_count": {"": 50}})
        for key, value in ((OVERALL, 0.8), ([("origin", "JFK")], math.nan))
    ]
    artifacts.write_records(tmp_path / "metrics-00000-of-00001.tfrecord", slices)
    assert read_evaluation(tmp_path).worst_slices(5, min_rows=1) == []


def test_curves_come_from_the_plots(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=True)
    plots = read_evaluation(tmp_path).plots[CANDIDATE]

    assert plots.roc == ((0.0, 0.0), (10 / 60, 30 / 40), (1.0, 1.0))
    assert plots.calibration == ((0.2, 0.2, 50), (0.7, 0.7, 50))
    assert plots.confusion is not None
    assert plots.confusion.counts == ((50, 10), (10, 30))


def test_the_confusion_matrix_is_that_at_the_threshold_of_the_model(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=False)
    overall = artifacts.metrics_for_slice(OVERALL, {"auc": {"": 0.8}})
    pair = overall.metric_keys_and_values.add()
    pair.key.name = "confusion_matrix_at_thresholds"
    pair.value.confusion_matrix_at_thresholds.matrices.add(
        threshold=0.3, true_positives=38, false_negatives=2, false_positives=25, true_negatives=35
    )
    artifacts.write_records(tmp_path / "metrics-00000-of-00001.tfrecord", [overall])
    confusion = read_evaluation(tmp_path).plots[CANDIDATE].confusion

    assert confusion is not None
    assert (confusion.counts, confusion.threshold) == (((35, 25), (2, 38)), pytest.approx(0.3))


def test_classes_of_a_multiclass_model_have_the_names_of_the_label(tmp_path):
    plots = tfma_protos("metrics_for_slice_pb2").PlotsForSlice()
    plots.slice_key.SetInParent()
    matrix = plots.plot_keys_and_values.add().value.multi_class_confusion_matrix_at_thresholds.matrices.add()
    for actual, predicted, rows in ((0, 0, 5), (1, 2, 3), (2, 2, 4), (2, -1, 1)):
        matrix.entries.add(actual_class_id=actual, predicted_class_id=predicted, num_weighted_examples=rows)
    artifacts.write_records(tmp_path / "metrics-00000-of-00001.tfrecord", [artifacts.metrics_for_slice(OVERALL, {})])
    artifacts.write_records(tmp_path / "plots-00000-of-00001.tfrecord", [plots])
    view = EvaluationView(read_evaluation(tmp_path), classes=("cat", "dog"))

    assert view.confusion is not None
    assert view.confusion.counts == ((5, 0, 0), (0, 0, 3), (0, 0, 4))
    assert [view.class_name(index) for index in range(3)] == ["cat", "dog", "2"]


def test_of_many_classes_those_confused_most_are_listed(tmp_path):
    plots = tfma_protos("metrics_for_slice_pb2").PlotsForSlice()
    plots.slice_key.SetInParent()
    matrix = plots.plot_keys_and_values.add().value.multi_class_confusion_matrix_at_thresholds.matrices.add()
    for actual, predicted, rows in ((24, 24, 90), (3, 4, 2), (24, 1, 7)):
        matrix.entries.add(actual_class_id=actual, predicted_class_id=predicted, num_weighted_examples=rows)
    artifacts.write_records(tmp_path / "metrics-00000-of-00001.tfrecord", [artifacts.metrics_for_slice(OVERALL, {})])
    artifacts.write_records(tmp_path / "plots-00000-of-00001.tfrecord", [plots])

    assert EvaluationView(read_evaluation(tmp_path)).confusions == [("24", "1", 7), ("3", "4", 2)]


def test_statistics_compare_the_splits(tmp_path):
    artifacts.write_statistics(tmp_path)
    statistics = read_statistics(tmp_path)
    distance, origin, time, empty = statistics.features

    assert dict(statistics.rows) == {"train": 200, "eval": 100}
    assert (distance.type, distance.is_numeric, distance.missing, distance.shift) == ("float", True, 0.5, 1.5)
    assert (origin.top_values, origin.largest_share, origin.shift) == (["JFK", EVIL], 0.75, 0.25)
    assert (time.is_numeric, time.shift) == (True, None)
    assert (empty.missing, empty.shift, empty.top_values) == (1.0, None, [])


def test_the_schema_says_what_a_feature_may_be(tmp_path):
    artifacts.write_schema(tmp_path / "schema")
    schema = read_schema(tmp_path / "schema")
    distance, origin, late, departure = schema.features

    assert (distance.type, distance.presence, distance.domain) == ("float", "every row", "≥ 0")
    assert (origin.presence, origin.domain, origin.values) == ("at least 50.0 % of rows", "2 values", ("JFK", "<b>EWR</b>"))
    assert departure.domain == "time"
    assert schema.times == {"departure"}
    assert (late.presence, late.domain, late.environments) == ("optional", "0 to 1", "not in SERVING")


def test_anomalies_say_the_split_and_the_feature(tmp_path):
    artifacts.write_anomalies(tmp_path, {"origin": "JFX is not in the domain"})
    anomalies = read_anomalies(tmp_path)

    assert anomalies.splits == ("train", "eval")
    (found,) = anomalies.found
    assert (found.split, found.feature, found.description, found.severe) == ("eval", "origin", "JFX is not in the domain", True)


def test_training_knows_its_best_epoch(tmp_path):
    artifacts.write_history(tmp_path / "run")
    training = read_training(tmp_path / "run")

    assert training.metrics == ["loss"]
    assert training.best_epoch == 2
    assert training.seconds == 6
    assert training.curve("val_loss") == [(1, 0.6), (2, 0.5), (3, 0.55)]
    assert Training(({"epoch": 1, "loss": 0.5},)).best_epoch is None


def test_the_members_of_a_model_stand_beside_the_whole(tmp_path):
    artifacts.write_members(tmp_path / "run")
    training = read_training(tmp_path / "run")

    assert training.epochs == ()
    assert training.best_epoch is None
    assert training.member_metrics == ["loss", "auc"]
    assert training.composition == "trees 0.75, linear 0.25"
    assert training.beside_linear == (
        "On the rows held back from training, a linear model alone has auc 0.7000, and this one 0.7500."
    )


def test_a_linear_model_alone_has_nothing_to_stand_beside():
    linear = {"kind": "linear", "metrics": {"loss": 0.5, "auc": 0.7}}
    assert Training((), members=(linear, {**linear, "kind": "whole"})).beside_linear == ""
    unmeasured = tuple({"kind": kind, "metrics": {}} for kind in ("trees", "linear", "whole"))
    assert Training((), members=unmeasured).beside_linear == ""


@pytest.mark.parametrize(
    ("metric", "lower", "bounds"),
    [
        ("mae", 0.0, ["any number"]),
        ("r2", -sys.float_info.max, ["any number"]),
        ("r2", 0.0, ["≥ 0"]),
        ("mae", 1.0, ["≥ 1"]),
    ],
)
def test_a_bound_that_every_number_keeps_to_is_told_as_such(tmp_path, metric, lower, bounds):
    artifacts.write_evaluation(tmp_path, baseline=False)
    threshold = {"valueThreshold": {"lowerBound": lower}}
    spec = {"className": "A", "config": json.dumps({"name": metric}), "perSliceThresholds": [{"slicingSpecs": [{}]}]}
    spec["perSliceThresholds"][0]["threshold"] = threshold
    (tmp_path / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [spec]}]}}))
    assert [check.bound for check in read_evaluation(tmp_path).checks] == bounds


def test_a_model_says_when_a_row_is_positive_and_how_its_probabilities_are_calibrated(tmp_path):
    artifacts.write_model(tmp_path, threshold=0.31, threshold_reason="for the largest F1", calibration="logits are halved")
    model = read_saved_model(tmp_path)
    assert model.decision == "A row is called 1 where its score is above 0.31, for the largest F1."
    assert model.calibrated == "Probabilities are calibrated: logits are halved."


def test_a_model_of_another_trainer_has_a_size_only(tmp_path):
    artifacts.write_model(tmp_path)
    assert read_saved_model(tmp_path).classes == ("0", "1")
    (tmp_path / "Format-Serving" / "assets.extra" / "conveyor.json").unlink()
    model = read_saved_model(tmp_path)
    assert (model.size, dict(model.columns), model.classes) == (2000, {}, ())


@given(st.lists(st.binary(max_size=300)))
def test_records_are_read_as_they_were_written(tmp_path_factory, contents):
    class Raw:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
            return self.content

    path = tmp_path_factory.mktemp("records") / "file.tfrecord"
    artifacts.write_records(path, map(Raw, contents))
    assert list(read_records(path)) == contents


def test_history_without_epochs_is_read(tmp_path):
    (tmp_path / "history.json").write_text(json.dumps([]))
    assert read_training(tmp_path).metrics == []


def test_a_transformation_has_columns_features_and_vocabularies(tmp_path):
    artifacts.write_transform_graph(tmp_path)
    transformation = read_transformation(tmp_path)

    assert transformation.columns == ("distance", "origin", "to <b>")
    assert transformation.features == (TransformedFeature("numeric", "float", 36), TransformedFeature("late", "int", None))
    origin, other = sorted(transformation.vocabularies, key=lambda vocabulary: vocabulary.column)
    assert origin == Vocabulary("origin", 2, ("EWR", "JFK"))
    assert (other.column, other.size, other.values[:2]) == ("to <b>", 50, ("city 0", "city 1"))


def test_a_vocabulary_of_compressed_records_is_left_out(tmp_path):
    artifacts.write_transform_graph(tmp_path)
    (tmp_path / "transform_fn" / "assets" / "own.gz").write_bytes(b"\x1f\x8b\x08\x00")
    assert len(read_transformation(tmp_path).vocabularies) == 2


def test_a_search_has_the_best_trial_first(tmp_path):
    artifacts.write_search(tmp_path / "results")
    artifacts.write_hyperparameters(tmp_path / "best")

    tuning = read_tuning(tmp_path / "results")
    (network,) = tuning.members
    assert [trial.score for trial in network.trials] == [0.5, 0.6, None]
    assert [trial.remark for trial in network.trials] == ["chosen", "as configured", "failed"]
    assert network.names == ["learning_rate", "layers"]
    assert read_hyperparameters(tmp_path / "best") == network.trials[0].hyperparameters
    assert tuning.num_trials == 3
    assert network.losses == network.best_losses == [(1, 0.6), (2, 0.5)]


@pytest.mark.parametrize(
    ("configured", "chosen", "expected"),
    [
        (0.6, 0.5, "The validation loss is 0.5000 with what was found, 0.6000 as configured, 16.7 % less."),
        (0.5, 0.5, "Nothing was better than the configured hyperparameters, whose validation loss is 0.5000."),
        (None, 0.5, "The validation loss is 0.5000 with what was found, and not a number as configured."),
        (None, None, "No trial ended with a loss, so training uses the configured hyperparameters."),
    ],
)
def test_what_a_search_gained_is_said(tmp_path, configured, chosen, expected):
    artifacts.write_search(tmp_path / "results")
    path = tmp_path / "results" / "tuner_results.json"
    results = json.loads(path.read_text())
    scores = {"whole-configured": configured, "whole-chosen": chosen}
    path.write_text(json.dumps([{**each, "score": scores.get(each["trial_id"], each["score"])} for each in results]))

    assert read_tuning(tmp_path / "results").gain == expected


def test_hyperparameters_that_were_deleted_are_none(tmp_path):
    assert read_hyperparameters(tmp_path / "deleted") == {}
