"""The derived training of a table of any size takes the loss to where a long training takes it."""

from __future__ import annotations

import functools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.splits import SplitPart
from components.shared.examples.writer import SplitWriter
from components.transform.analysis import analyze
from pipeline.config import PipelineConfig, Task
from pipeline.training import checkpoints, network, settings, trainer
from pipeline.training.data import TrainingData
from pipeline.training.members import learning
from pipeline.training.members.losses import losses
from pipeline.training.network import compiled_model, fit, learn_again, make_deterministic, state_of
from pipeline.training.preprocessing import preprocessing_fn
from pipeline.training.recipe import Recipe
from pipeline.training.transformation import transformation

COLUMNS = ("a", "b", "c", "d")
ROWS = (150, 1_000, 10_000)

pytestmark = pytest.mark.integration


def table_of_rows(num_rows: int) -> pa.RecordBatch:
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
        self.config = config = PipelineConfig.model_validate({**document, **sections})
        files = _write(table, folder / "Split-train")
        custom = settings.for_transform(config).to_custom_config()
        dtypes = {name: tf.int64 if pa.types.is_integer(table[name].type) else tf.float32 for name in table.schema.names}
        schema = schema_utils.schema_from_feature_spec({name: tf.io.VarLenFeature(dtype) for name, dtype in dtypes.items()})
        prepare = functools.partial(preprocessing_fn, custom_config=custom)
        graph = str(folder / "graph")
        analyze(prepare, "", schema, [SplitPart(tuple(files))], graph, str(folder / "temporary"))
        self.folder = folder
        self.transform_output, self.settings = tft.TFTransformOutput(graph), settings.for_trainer(config)
        self.data = TrainingData.read(files, self.settings, self.transform_output)
        self.examples = tf.constant([row.numpy() for row in tf.data.TFRecordDataset(files, "GZIP").take(50)])
        self.recipe = Recipe.of(self.settings.model, self.settings.training, len(self.data.train))

    def reached(self, recipe: Recipe) -> float:
        """The smallest validation loss."""
        make_deterministic(self.settings.training.seed)
        model = compiled_model(self.settings, self.transform_output, self.data, recipe)
        return min(epoch["val_loss"] for epoch in fit(model, self.data, recipe, self.settings.training.seed))


def trained(training: Training, folder: Path, execution: int) -> list[np.ndarray]:
    """What the Trainer does in an execution; returns what the model that it wrote answers."""
    make_deterministic(training.settings.training.seed)
    model, model_run = (folder / "Trainer" / output / str(execution) for output in ("model", "model_run"))
    model_run.mkdir(parents=True)
    arguments = FnArgs(
        train_files=[str(training.folder / "Split-train" / "*")],
        transform_graph_path=str(training.folder / "graph"),
        serving_model_dir=str(model),
        model_run_dir=str(model_run),
    )
    trainer.train(arguments, training.settings, training.transform_output, training.data)
    answers = tf.saved_model.load(str(model)).signatures["serving_default"](examples=training.examples)
    return [answers[name].numpy() for name in sorted(answers)]


@pytest.mark.parametrize("num_rows", ROWS)
def test_the_loss_falls_to_where_a_long_training_takes_it(num_rows: int, tmp_path: Path) -> None:
    training = Training(table_of_rows(num_rows), tmp_path)
    derived = training.recipe
    loss = training.reached(derived)
    assert loss < 0.5  # nothing learnt: 0.69
    long = replace(derived, epochs=2 * derived.epochs, patience=derived.epochs // 2)
    assert loss < 1.05 * training.reached(long) + 0.01


def test_rows_of_no_weight_teach_nothing(tmp_path: Path) -> None:
    """Half of the rows have the wrong label: with them there is nothing to learn."""
    table = table_of_rows(1_000)
    is_wrong = np.arange(len(table)) % 2
    label = np.where(is_wrong, 1 - table["label"].to_numpy(), table["label"].to_numpy())
    columns = {**{name: table[name] for name in COLUMNS}, "label": pa.array(label), "weight": pa.array(2 - 2 * is_wrong)}
    training = Training(pa.record_batch(columns), tmp_path, training={"weight": "weight"})
    assert transformation(training.settings, training.transform_output).columns == COLUMNS
    assert training.reached(training.recipe) < 0.5


@pytest.mark.parametrize("most_rows_to_learn_anew", [800, 799])
def test_a_network_learns_from_the_newest_rows_when_they_have_judged_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_rows_to_learn_anew: int
) -> None:
    """The newest fifth of the rows, by a column of times, has the opposite labels."""
    monkeypatch.setattr(network, "_MOST_ROWS_TO_LEARN_ANEW", most_rows_to_learn_anew)
    table = table_of_rows(1_000)
    when = np.random.default_rng(1).permutation(len(table))
    label = np.where(when >= 800, 1 - table["label"].to_numpy(), table["label"].to_numpy())
    columns = {**{name: table[name] for name in COLUMNS}, "when": pa.array(when), "label": pa.array(label)}
    split = {"input": "fit.parquet", "split": {"method": "time", "by": "when"}}
    training = Training(pa.record_batch(columns), tmp_path, data=split, features={"when": {"kind": "ignore"}})
    data, recipe = training.data, training.recipe
    assert sorted(when[data.validation]) == list(range(800, 1_000))

    make_deterministic(training.settings.training.seed)
    model = compiled_model(training.settings, training.transform_output, data, recipe)
    start = state_of(model)
    history = fit(model, data, recipe, training.settings.training.seed)
    held_back = data.outputs(model)
    learn_again(model, start, history, data, recipe, training.settings.training.seed)

    before, after = (log_loss(outputs, data.labels[data.validation]) for outputs in (held_back, data.outputs(model)))
    assert before > 1.2 * after


class Killed(BaseException):
    """The end of a process in the middle of its work."""


def test_a_trainer_that_was_killed_goes_on_and_writes_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "PAUSE", 0.0)
    training = Training(table_of_rows(300), tmp_path / "table", training={"epochs": 4})
    epochs: list[int] = []
    end_epoch = network._Progress.on_epoch_end

    def run(execution: int) -> list[np.ndarray]:
        epochs.clear()
        return trained(training, tmp_path, execution)

    def counted(progress: Any, epoch: int, logs: Any = None) -> None:
        end_epoch(progress, epoch, logs)
        epochs.append(epoch)

    monkeypatch.setattr(network._Progress, "on_epoch_end", counted)
    undisturbed = run(1)
    assert epochs == [0, 1, 2, 3]

    def killed(progress: Any, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise Killed
        counted(progress, epoch, logs)

    monkeypatch.setattr(network._Progress, "on_epoch_end", killed)
    with pytest.raises(Killed):
        run(2)
    monkeypatch.setattr(network._Progress, "on_epoch_end", counted)
    monkeypatch.setattr(learning, "boost", lambda *arguments, **further: pytest.fail("the trees were finished"))
    resumed = run(3)

    assert epochs == [2, 3]
    for answer, expected in zip(resumed, undisturbed, strict=True):
        np.testing.assert_array_equal(answer, expected)
    assert list((tmp_path / "Trainer" / ".system" / "checkpoints").iterdir()) == []


def on_two_devices(folder: Path) -> list[np.ndarray]:
    """What a model answers that was trained by two devices, the newest rows last; in a process that has used none yet."""
    (device,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    trainer.strategy_of_devices = lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    table = table_of_rows(300)
    table = table.append_column("when", pa.array(np.arange(len(table))))
    sections = {
        "data": {"input": "fit.parquet", "split": {"method": "time", "by": "when"}},
        "features": {"when": {"kind": "ignore"}},
        "model": {"kind": "network"},
        "training": {"epochs": 4},
    }
    return trained(Training(table, folder / "table", **sections), folder, 1)


def test_several_devices_train_a_model_together(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        answers = process.submit(on_two_devices, tmp_path).result()
    assert [len(answer) for answer in answers] == [50] * len(answers)
    folder = tmp_path / "Trainer" / "model_run" / "1"
    assert json.loads((folder / "history.json").read_text())[-1]["val_loss"] < 0.65
    assert json.loads((folder / "recipe.json").read_text())["learnt_again"]


def log_loss(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(losses(Task.BINARY, outputs, labels).mean())
