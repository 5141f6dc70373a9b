"""The nodes that Beam can spread over machines, really run on Flink: what they make equals what a direct run makes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from google.protobuf.message import Message
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics, DatasetFeatureStatisticsList

from pipeline.training import examples
from pipeline.training.transformation import GraphTransformation
from tests.integration.beam.session_cluster import SessionCluster
from tests.integration.conftest import Project

SPLITS = ("train", "eval")
RANKINGS = ("auc", "auc_precision_recall")
# TFMA ranks by 10,000 thresholds. The last bit of a score follows from the rows beside it in a batch and from the processor,
# and where it takes a row of a small slice over a threshold, the ranking changes by so much.
ONE_ROW_MOVED = 1e-3


def repeat(project: Project, node: str, *flink: str) -> None:
    """Runs one node again, on Flink, from what the direct run gave it."""
    settings = ("execution.cache=false", "execution.beam.runner=flink", *(f"execution.beam.flink.{field}" for field in flink))
    done = project.run("--from", node, "--to", node, settings=settings)

    assert done.returncode == 0, done.stdout + done.stderr
    (log,) = max((project.workspace / "runs" / "flights").glob("*/run.json")).parent.glob(f"{node}.log")
    assert f"TFX's own {node} is used" in log.read_text()


def both(project: Project, artifact: str) -> tuple[Path, Path]:
    """The folders of an artifact as the direct run and as Flink wrote it."""
    first, *_, last = sorted(_folders(project, artifact), key=lambda folder: int(folder.name))
    return first, last


def _folders(project: Project, artifact: str) -> list[Path]:
    """The folders of all artifacts of a kind; their manifests lie beside them."""
    return [path for path in (project.workspace / "artifacts" / "flights" / artifact).iterdir() if path.is_dir()]


def test_statistics_of_a_cluster_equal_direct_ones(direct: Project, cluster: SessionCluster) -> None:
    repeat(direct, "StatisticsGen", f"job_server={cluster.job_server}", f"worker_pool={cluster.worker_pool}")

    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"]
    expected, actual = both(direct, "StatisticsGen/statistics")
    for split in SPLITS:
        assert_close(_statistics(actual, split), _statistics(expected, split), split)


def test_a_transformation_by_the_jar_equals_a_direct_one(direct: Project, job_server_jar: Path) -> None:
    repeat(direct, "Transform", f"job_server_jar={job_server_jar}")

    expected, actual = both(direct, "Transform/transform_graph")
    for split in SPLITS:
        np.testing.assert_allclose(_rows(direct, split, actual), _rows(direct, split, expected), rtol=1e-4, atol=1e-4)


def test_an_evaluation_by_the_jar_equals_a_direct_one(direct: Project, job_server_jar: Path) -> None:
    repeat(direct, "Evaluator", f"job_server_jar={job_server_jar}")

    expected, actual = (dict(_metrics(folder)) for folder in both(direct, "Evaluator/evaluation"))
    assert len(expected) > 10
    assert actual.keys() == expected.keys()
    for metric, value in expected.items():
        if math.isnan(value) and metric[1] in RANKINGS:
            # Rows of one class rank nothing, and TFMA integrates over an empty curve.
            assert actual[metric] in (0, 1), metric
        else:
            tolerance = ONE_ROW_MOVED if metric[1] in RANKINGS else 1e-6
            assert actual[metric] == pytest.approx(value, rel=tolerance, nan_ok=True), metric


def _statistics(folder: Path, split: str) -> dict[str, Message | int]:
    content = (folder / f"Split-{split}" / "FeatureStats.pb").read_bytes()
    dataset: DatasetFeatureStatistics
    (dataset,) = DatasetFeatureStatisticsList.FromString(content).datasets
    return {"": dataset.num_examples, **{".".join(feature.path.step): feature for feature in dataset.features}}


def assert_close(actual: Any, expected: Any, where: str) -> None:
    """Compares field by field, numbers to 1e-6."""
    if isinstance(expected, Message):
        actual, expected = ({field.name: value for field, value in message.ListFields()} for message in (actual, expected))
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for name in expected:
            assert_close(actual[name], expected[name], f"{where} {name}")
    elif isinstance(expected, (str, bytes)):
        assert actual == expected, where
    elif isinstance(expected, (int, float)):
        assert actual == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True), where
    else:
        assert len(actual) == len(expected), where
        for position, pair in enumerate(zip(actual, expected, strict=True)):
            assert_close(*pair, f"{where}[{position}]")


def _rows(project: Project, split: str, graph: Path) -> np.ndarray:
    """The rows of a split as a transform graph makes them, as numbers."""
    (folder,) = _folders(project, "ExampleGen/examples")
    output = tft.TFTransformOutput(str(graph))
    rows = examples.read([str(folder / f"Split-{split}" / "*")], GraphTransformation(output, "late"), "late")
    return np.column_stack([tf.cast(values, tf.float64).numpy() for _, values in sorted(rows.features.items())])


def _metrics(folder: Path) -> Iterator[tuple[tuple[Any, str], float]]:
    for slice_key, by_output in tfma.load_eval_result(str(folder)).slicing_metrics:
        for metric, value in by_output[""][""].items():
            if "doubleValue" in value:
                yield (slice_key, metric), float(value["doubleValue"])
