"""Writes the files that TFX's nodes leave in their artifacts, small and by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.shared.examples.tfrecord import frame
from pipeline.report.read.protos import tfma_protos
from pipeline.training.features import vocabulary_key
from pipeline.training.vocabularies import PREFIX

EVIL = "<script>alert('x')</script>"
OVERALL: tuple[tuple[str, str], ...] = ()


def write_records(path: Path, messages: Iterable[Any]) -> None:
    """A TFRecord file, written with ExampleGen's code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [message.SerializeToString() for message in messages]
    path.write_bytes(frame(pa.array(records, pa.large_binary())) if records else b"")


def metrics_for_slice(key: Iterable[tuple[str, str]], values: Mapping[str, Mapping[str, float]]) -> Any:
    """TFMA's metrics of a slice: values by metric and by model."""
    message = tfma_protos("metrics_for_slice_pb2").MetricsForSlice()
    message.slice_key.SetInParent()
    for column, value in key:
        message.slice_key.single_slice_keys.add(column=column, bytes_value=value.encode())
    for name, models in values.items():
        for model, value in models.items():
            pair = message.metric_keys_and_values.add()
            pair.key.name, pair.key.model_name = name, model
            pair.value.double_value.value = value
    return message


def plots_for_slice(models: Iterable[str]) -> Any:
    """TFMA's plots of all rows of a binary classifier."""
    message = tfma_protos("metrics_for_slice_pb2").PlotsForSlice()
    message.slice_key.SetInParent()
    for model in models:
        pair = message.plot_keys_and_values.add()
        pair.key.model_name = model
        for threshold, positives, negatives in ((0.0, 40, 60), (0.5, 30, 10), (1.0, 0, 0)):
            pair.value.confusion_matrix_at_thresholds.matrices.add(
                threshold=threshold,
                true_positives=positives,
                false_negatives=40 - positives,
                false_positives=negatives,
                true_negatives=60 - negatives,
                precision=positives / (positives + negatives) if positives else 0,
            )
        for prediction in (0.2, 0.7):
            bucket = pair.value.calibration_histogram_buckets.buckets.add()
            bucket.num_weighted_examples.value = 50
            bucket.total_weighted_refined_prediction.value = 50 * prediction
            bucket.total_weighted_label.value = 50 * prediction
        pair.value.calibration_histogram_buckets.buckets.add()
    return message


def write_evaluation(folder: Path, *, baseline: bool, min_auc: float = 0.7, rows_of_jfk: float = 60) -> None:
    """An evaluation whose candidate has an AUC of 0.8, the baseline's 0.75."""

    def models(candidate: float, other: float) -> dict[str, float]:
        return {"candidate": candidate, "baseline": other} if baseline else {"": candidate}

    slices = [
        metrics_for_slice(OVERALL, {"auc": models(0.8, 0.75), "loss": models(0.5, 0.4), "example_count": models(100, 100)}),
        metrics_for_slice([("origin", "JFK")], {"auc": models(0.9, 0.9), "example_count": models(rows_of_jfk, rows_of_jfk)}),
        metrics_for_slice([("origin", EVIL)], {"auc": models(0.6, 0.7), "example_count": models(40, 40)}),
    ]
    write_records(folder / "metrics-00000-of-00001.tfrecord", slices)
    write_records(folder / "plots-00000-of-00001.tfrecord", [plots_for_slice(models(0, 0))])
    threshold: dict[str, Any] = {"valueThreshold": {"lowerBound": min_auc}}
    if baseline:
        threshold["changeThreshold"] = {"absolute": -0.01, "direction": "HIGHER_IS_BETTER"}
    metric = {
        "className": "AUC",
        "config": json.dumps({"name": "auc"}),
        "perSliceThresholds": [{"slicingSpecs": [{}], "threshold": threshold}],
    }
    (folder / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [metric]}]}}))
    validation = tfma_protos("validation_result_pb2").ValidationResult(validation_ok=min_auc <= 0.8)
    if min_auc > 0.8:
        failure = validation.metric_validations_per_slice.add().failures.add()
        failure.metric_key.name = "auc"
        failure.metric_threshold.value_threshold.lower_bound.value = min_auc
    write_records(folder / "validations.tfrecord", [validation])


def write_multiclass_evaluation(folder: Path, counts: Sequence[Sequence[int]]) -> None:
    """An evaluation of a classifier with a class for each row of `counts`, which has its rows by predicted class."""
    rows = sum(map(sum, counts))
    accuracy = sum(row[index] for index, row in enumerate(counts)) / rows
    values = {"accuracy": {"": accuracy}, "example_count": {"": rows}}
    write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics_for_slice(OVERALL, values)])
    plots = tfma_protos("metrics_for_slice_pb2").PlotsForSlice()
    plots.slice_key.SetInParent()
    matrix = plots.plot_keys_and_values.add().value.multi_class_confusion_matrix_at_thresholds.matrices.add()
    for actual, row in enumerate(counts):
        for predicted, count in enumerate(row):
            matrix.entries.add(actual_class_id=actual, predicted_class_id=predicted, num_weighted_examples=count)
    write_records(folder / "plots-00000-of-00001.tfrecord", [plots])


def write_transform_graph(folder: Path) -> None:
    """A transform graph of three columns, whose names are not all plain, with two vocabularies."""
    for name, text in (
        (
            "metadata",
            'feature { name: "distance" type: FLOAT } feature { name: "origin" type: BYTES } feature { name: "to <b>" }',
        ),
        (
            "transformed_metadata",
            'feature { name: "numeric" type: FLOAT shape { dim { size: 36 } } } feature { name: "late" type: INT }',
        ),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "schema.pbtxt").write_text(text)
    assets = folder / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    lines = ["origin EWR", *(f"{vocabulary_key('to <b>')} city {number}" for number in range(50)), "origin JFK"]
    (assets / f"{PREFIX}categorical_1000").write_text("\n".join(lines) + "\n")


def write_search(folder: Path) -> None:
    """The results of a search of three trials, as TFX's Tuner writes them."""
    complete = {"state": "complete", "seconds": 2.0, "member": "network", "is_chosen": False}
    trials = [
        {
            "trial_id": "network-0",
            "score": 0.6,
            "number": 0,
            "is_chosen": False,
            **complete,
            "learning_rate": 0.001,
            "layers": 2,
        },
        {"trial_id": "network-1", "score": 0.5, "number": 1, **complete, "is_chosen": True, "learning_rate": 0.01, "layers": 3},
        {
            "trial_id": "network-2",
            "score": None,
            "number": 2,
            "is_chosen": False,
            **complete,
            "learning_rate": 0.9,
            "layers": 1,
        },
        {"trial_id": "whole-configured", "score": 0.6, "member": "whole", "is_chosen": False},
        {"trial_id": "whole-chosen", "score": 0.5, "member": "whole", "is_chosen": True},
    ]
    trials[2]["state"] = "failed"
    folder.mkdir(parents=True)
    (folder / "tuner_results.json").write_text(json.dumps(trials))


def write_hyperparameters(folder: Path) -> None:
    """The best hyperparameters of a search, as TFX's Tuner writes them."""
    folder.mkdir(parents=True)
    (folder / "best_hyperparameters.txt").write_text(json.dumps({"space": [], "values": {"learning_rate": 0.01, "layers": 3}}))


def write_statistics(folder: Path) -> None:
    """Statistics of a number, a category, a time and an empty column in two splits; the category's values are hostile."""
    for split, rows in (("train", 200), ("eval", 100)):
        table = statistics_pb2.DatasetFeatureStatistics(num_examples=rows)
        number = table.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
        number.path.step.append("distance")
        number.num_stats.common_stats.num_non_missing = rows // 2
        number.num_stats.mean, number.num_stats.std_dev = (10, 2) if split == "train" else (13, 2)
        number.num_stats.min, number.num_stats.median, number.num_stats.max = 0, 10, 20
        histogram = number.num_stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
        histogram.buckets.add(low_value=0, high_value=10, sample_count=rows / 2)
        histogram.buckets.add(low_value=10, high_value=20, sample_count=rows / 2)
        text = table.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        text.path.step.append("origin")
        text.string_stats.common_stats.num_non_missing = rows
        text.string_stats.unique = 2
        share = 0.75 if split == "train" else 0.5
        text.string_stats.rank_histogram.buckets.add(label="JFK", sample_count=rows * share)
        text.string_stats.rank_histogram.buckets.add(label=EVIL, sample_count=rows * (1 - share))
        time = table.features.add(type=statistics_pb2.FeatureNameStatistics.INT)
        time.path.step.append("departure")
        time.num_stats.common_stats.num_non_missing = rows
        time.num_stats.mean = time.num_stats.min = time.num_stats.median = time.num_stats.max = 1_380_585_600
        empty = table.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        empty.path.step.append("empty")
        path = folder / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics_pb2.DatasetFeatureStatisticsList(datasets=[table]).SerializeToString())


def write_schema(folder: Path) -> None:
    """A schema of four features."""
    schema = text_format.Parse(
        """
        feature { name: "distance" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 0 } }
        feature { name: "origin" type: BYTES domain: "origin" presence { min_fraction: 0.5 } }
        feature { name: "late" type: INT int_domain { min: 0 max: 1 } not_in_environment: "SERVING" }
        feature { name: "departure" type: INT time_domain { integer_format: UNIX_SECONDS } }
        string_domain { name: "origin" value: "JFK" value: "<b>EWR</b>" }
        """,
        schema_pb2.Schema(),
    )
    folder.mkdir(parents=True)
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(schema))


def write_anomalies(folder: Path, features: Mapping[str, str]) -> None:
    """Anomalies of the evaluation split: a description for each feature."""
    for split, found in (("train", {}), ("eval", features)):
        anomalies = anomalies_pb2.Anomalies()
        for name, description in found.items():
            info = anomalies.anomaly_info[name]
            info.short_description, info.description = "Unexpected string values", description
            info.severity = anomalies_pb2.AnomalyInfo.ERROR
        path = folder / f"Split-{split}" / "SchemaDiff.pb"
        path.parent.mkdir(parents=True)
        path.write_bytes(anomalies.SerializeToString())


def write_history(folder: Path) -> None:
    """Three epochs, the second one the best."""
    losses = ((0.7, 0.6), (0.6, 0.5), (0.5, 0.55))
    epochs = [{"epoch": i + 1, "loss": a, "val_loss": b, "seconds": 2.0} for i, (a, b) in enumerate(losses)]
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(epochs))
    recipe = {"epochs": 10, "batch_size": 32, "patience": 2, "learning_rate": 0.001, "hidden_units": [128, 64], "dropout": 0.3}
    (folder / "recipe.json").write_text(json.dumps(recipe))


def write_members(folder: Path) -> None:
    """Trees and a linear model that add up, beside a network that does not help."""
    weights = {"network": 0.0, "trees": 0.75, "linear": 0.25, "whole": 1.0}
    members = [
        {
            "kind": kind,
            "weight": weight,
            "metrics": {"loss": 0.5, "auc": 0.7 if kind == "linear" else 0.75},
            "seconds": 2.0,
            "facts": f"of {kind}",
        }
        for kind, weight in weights.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "members.json").write_text(json.dumps(members))


def write_model(folder: Path, classes: Sequence[str | int] = (0, 1), **described: Any) -> None:
    """A model's files, with the contract that the Trainer writes."""
    contract = folder / "Format-Serving" / "assets.extra" / "conveyor.json"
    contract.parent.mkdir(parents=True)
    contract.write_text(
        json.dumps({"classes": classes, "parameters": 1234, "features": {"distance": "float", "origin": "string"}, **described})
    )
    (folder / "Format-Serving" / "saved_model.pb").write_bytes(bytes(2000))
