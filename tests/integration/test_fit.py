"""The derived training of a table of any size takes the loss to where a long training takes it."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from pipeline.training.transformation import transformation

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
    kinds = {name: Kind.INTEGER if pa.types.is_integer(table[name].type) else Kind.FLOAT for name in table.schema.names}
    with ThreadPoolExecutor() as pool:
        writer = SplitWriter(str(folder), "gzip", pool)
        writer.write(encode(table, kinds))
        writer.close()
    return [str(path) for path in sorted(folder.iterdir())]


class Training:
    """A table on its way through Transform to the Trainer."""

    def __init__(self, table: pa.RecordBatch, folder: Path, **sections: Any) -> None:
        document = {"name": "fit", "task": "binary_classification", "label": "label", "data": {"input": "fit.parquet"}}
        config = PipelineConfig.model_validate({**document, **sections})
        files = _write(table, folder / "examples")
        custom = settings.for_transform(config).to_custom_config()
        dtypes = {name: tf.int64 if pa.types.is_integer(table[name].type) else tf.float32 for name in table.schema.names}
        schema = schema_utils.schema_from_feature_spec({name: tf.io.VarLenFeature(dtype) for name, dtype in dtypes.items()})
        prepare = functools.partial(preprocessing_fn, custom_config=custom)
        graph = str(folder / "graph")
        analyze(prepare, "", schema, [SplitPart(tuple(files))], graph, str(folder / "temporary"))
        self.folder = folder
        self.transform_output, self.settings = tft.TFTransformOutput(graph), settings.for_trainer(config)
        self.data = TrainingData.read(files, self.settings, self.transform_output)
        self.recipe = Recipe.of(self.settings.model, self.settings.training, len(self.data.train))

    def reached(self, recipe: Recipe) -> float:
        """The smallest validation loss."""
        make_deterministic(self.settings.training.seed)
        model = compiled_model(self.settings, self.transform_output, self.data, recipe)
        run = str(self.folder / f"run-{recipe.epochs}")
        return min(epoch["val_loss"] for epoch in fit(model, self.data, recipe, self.settings.training.seed, run))


@pytest.mark.parametrize("num_rows", ROWS)
def test_the_loss_falls_to_where_a_long_training_takes_it(num_rows: int, tmp_path: Path) -> None:
    training = Training(_table(num_rows), tmp_path)
    derived = training.recipe
    loss = training.reached(derived)
    assert loss < 0.5  # nothing learnt: 0.69
    long = replace(derived, epochs=2 * derived.epochs, patience=derived.epochs // 2)
    assert loss < 1.05 * training.reached(long) + 0.01


def test_rows_of_no_weight_teach_nothing(tmp_path: Path) -> None:
    """Half of the rows have the wrong label: with them there is nothing to learn."""
    table = _table(1_000)
    is_wrong = np.arange(len(table)) % 2
    label = np.where(is_wrong, 1 - table["label"].to_numpy(), table["label"].to_numpy())
    columns = {**{name: table[name] for name in COLUMNS}, "label": pa.array(label), "weight": pa.array(2 - 2 * is_wrong)}
    training = Training(pa.record_batch(columns), tmp_path, training={"weight": "weight"})
    assert transformation(training.settings, training.transform_output).columns == COLUMNS
    assert training.reached(training.recipe) < 0.5
