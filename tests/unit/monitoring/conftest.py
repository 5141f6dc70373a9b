"""A pushed version with the rows that it was trained and judged on, and a log of what it was asked."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import PipelineConfig
from pipeline.contracts.importance import FILE_NAME, ColumnImportance, Importance
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from tests.fakes.workspace import Workspace

SINCE = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
ORIGINS = ("JFK", "<b>EWR</b>")


def rows(size: int, seed: int, *, far: float = 0.0) -> dict[str, Any]:
    """Rows of two features and a label."""
    rng = np.random.default_rng(seed)
    return {
        "origin": rng.choice(ORIGINS, size).tolist(),
        "distance": rng.normal(1000 + far, 100, size).tolist(),
        "late": rng.integers(0, 2, size).tolist(),
    }


@pytest.fixture
def version(workspace: Workspace) -> PipelineConfig:
    """The configuration of a pipeline whose version 7 was trained on such rows; it says late above a distance of 1,000."""
    import tensorflow as tf

    from components.shared.examples.encoder import encode
    from components.shared.examples.kinds import Kind

    config = workspace.config
    workspace.run("run-1", "-1", version="7")
    kinds = {"origin": Kind.TEXT, "distance": Kind.FLOAT, "late": Kind.INTEGER}
    for split, seed in (("train", 1), ("eval", 2)):
        path = workspace.folder("ExampleGen", "examples", "examples-1") / f"Split-{split}" / "data.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for example in encode(pa.record_batch(rows(2000, seed)), kinds).to_pylist():
                writer.write(example)
    importance = Importance("auc", 0.7, 100, (ColumnImportance("distance", 0.2, 0.1, 0.3),))
    evaluation = workspace.folder("Evaluator", "evaluation", "evaluation-1")
    (evaluation / FILE_NAME).write_text(importance.to_json())
    folder = config.serving_path / "7"
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        distance = tf.io.parse_example(examples, {"distance": tf.io.FixedLenFeature([1], tf.float32)})["distance"]
        score = tf.sigmoid((distance - 1000) / 100)
        return {"score": score, "labels": tf.cast(score > 0.5, tf.int64), "probabilities": tf.concat([1 - score, score], 1)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    (folder / DESCRIPTION_PATH).parent.mkdir(exist_ok=True)
    described = ModelDescription("binary_classification", "late", [0, 1], features={"origin": "string", "distance": "float"})
    (folder / DESCRIPTION_PATH).write_text(described.to_json())
    return config


@pytest.fixture
def log(config: PipelineConfig) -> Callable[..., None]:
    """Writes logged rows of a day, as the gateway does."""

    def write(day: int, features: Mapping[str, Any], answered_by: int = 7) -> None:
        moment = SINCE + datetime.timedelta(days=day, hours=6)
        distance = np.array(features["distance"])
        score = 1 / (1 + np.exp(-(distance - 1000) / 100))
        size = len(distance)
        table = pa.table(
            {
                "origin": features["origin"],
                "distance": pa.array(features["distance"], pa.float32()),
                "prediction_time": pa.array([moment] * size, pa.timestamp("us", tz="UTC")),
                "prediction_request_id": [f"{day}-{number}" for number in range(size)],
                "prediction_version": [answered_by] * size,
                "prediction_label": (score > 0.5).astype(np.int64),
                "prediction_score": score,
            }
        )
        folder = Path(config.resolve(str(config.gateway.log.folder)))
        path = folder / f"date={moment.date()}" / f"063000-{answered_by}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)

    return write
