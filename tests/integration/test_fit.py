"""The derived training of a table of any size takes the loss to where a long training takes it."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.splits import SplitPart
from components.shared.examples.writer import SplitWriter
from components.transform.analysis import analyze
from pipeline.config import PipelineConfig
from pipeline.training import settings
from pipeline.training.preprocessing import preprocessing_fn
from pipeline.training.recipe import Recipe
from pipeline.training.trainer import TrainingData, compiled_model, fit, make_deterministic

COLUMNS = ("a", "b", "c", "d")
ROWS = (150, 1_000, 10_000)

pytestmark = pytest.mark.integration


def _table(num_rows: int) -> pa.RecordBatch:
    """Labels that two columns decide between them, with some noise."""
    random = np.random.default_rng(num_rows)
    values = random.normal(size=(num_rows, len(COLUMNS)))
    logits = 3 * values[:, 0] + 4 * np.sin(2 * values[:, 1])
    labels = (random.random(num_rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    columns = {name: pa.array(values[:, position], pa.float32()) for position, name in enumerate(COLUMNS)}
    return pa.record_batch({**columns, "label": pa.array(labels)})


def _write(table: pa.RecordBatch, folder: Path) -> list[str]:
    with ThreadPoolExecutor() as pool:
        writer = SplitWriter(str(folder), "gzip", pool)
        writer.write(encode(table, {**dict.fromkeys(COLUMNS, Kind.FLOAT), "label": Kind.INTEGER}))
        writer.close()
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("num_rows", ROWS)
def test_the_loss_falls_to_where_a_long_training_takes_it(num_rows: int, tmp_path: Path) -> None:
    config = PipelineConfig.model_validate(
        {"name": "fit", "task": "binary_classification", "label": "label", "data": {"input": "fit.parquet"}}
    )
    files = _write(_table(num_rows), tmp_path / "examples")
    specs = {**dict.fromkeys(COLUMNS, tf.io.VarLenFeature(tf.float32)), "label": tf.io.VarLenFeature(tf.int64)}
    custom = settings.for_transform(config).to_custom_config()
    schema = schema_utils.schema_from_feature_spec(specs)
    prepare = functools.partial(preprocessing_fn, custom_config=custom)
    graph = str(tmp_path / "graph")
    analyze(prepare, "", schema, [SplitPart(tuple(files))], graph, str(tmp_path / "temporary"))
    transform_output, values = tft.TFTransformOutput(graph), settings.for_trainer(config)
    data = TrainingData.read(files, values, transform_output)
    derived = Recipe.of(values.model, values.training, len(data.train))

    def reached(recipe: Recipe) -> float:
        make_deterministic(values.training.seed)
        model = compiled_model(values, transform_output, data, recipe)
        history = fit(model, data, recipe, values.training.seed, str(tmp_path / f"run-{recipe.epochs}"))
        return min(epoch["val_loss"] for epoch in history)

    long = replace(derived, epochs=2 * derived.epochs, patience=derived.epochs // 2)
    loss = reached(derived)
    assert loss < 0.5  # nothing learnt: 0.69
    assert loss < 1.05 * reached(long) + 0.01
