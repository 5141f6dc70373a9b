"""The Trainer's run_fn: reads and transforms rows, trains with early stopping, exports."""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline.config import Task
from pipeline.errors import ConfigError, NodeError
from pipeline.training import examples, raw, remarks, weights
from pipeline.training.export import export_model
from pipeline.training.features import label_feature
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.learning import Division, Indices, Member, Table, learn
from pipeline.training.members.losses import Outputs
from pipeline.training.members.whole import MEMBERS_FILE, weigh, whole_model
from pipeline.training.model import ROWS_FOR_BOUNDARIES, build_model, categories, feature_plan, input_layers, number_encoder
from pipeline.training.preprocessing import CATEGORICAL
from pipeline.training.recipe import RECIPE_FILE, Recipe, validation_fraction
from pipeline.training.settings import TrainerSettings
from pipeline.training.transformation import transformation
from pipeline.util.notes import note
from pipeline.util.progress import RowProgress, say

HISTORY_FILE = "history.json"
"""In the `model_run` artifact: a list with an object for each epoch: epoch, seconds, loss and metrics, `val_` before those
of the validation rows."""

_ROWS_AT_ONCE = 8192
# Of a class: with fewer expected among the validation rows, each class gets its share exactly.
_ROWS_OF_A_CLASS = 100


def run_fn(fn_args: FnArgs) -> None:
    """Trains a model and writes it to `fn_args.serving_model_dir`, curves, history and recipe to `fn_args.model_run_dir`.

    Args:
      fn_args: as TFX's Trainer passes them; `custom_config` is that of `pipeline.training.settings.TrainerSettings`.

    Raises:
      DataError: the label is missing, has one value, does not suit the task, or has one that only the evaluation rows have.
      ConfigError: the user's own code does not return features or a model of the right kind.
      NodeError: the loss is not a number.
    """
    settings = TrainerSettings.model_validate(fn_args.custom_config)
    make_deterministic(settings.training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    data = TrainingData.read(fn_args.train_files, settings, transform_output)
    evaluated = examples.read_labels(fn_args.eval_files or (), transform_output, settings.label)
    data.encoding.check_known(settings.label, evaluated, f"column {settings.label}, split eval")
    if remark := remarks.on_positive_class(data.encoding, data.labels):
        note(remark)
    if settings.preprocessing_fn is None:
        _tell_remarks(settings, transform_output, data)
    train(fn_args, settings, transform_output, data)


def _tell_remarks(settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData) -> None:
    plan = feature_plan(settings, transform_output)
    told = list(remarks.on_lists(plan))
    if plan.categorical:
        sizes = {column.name: transform_output.vocabulary_size_by_name(column.vocabulary_file) for column in plan.categorical}
        dtypes = {name: raw.dtype_name(spec.dtype) for name, spec in transform_output.raw_feature_spec().items()}
        told += remarks.on_rare_values(plan, sizes, data.sample(ROWS_FOR_BOUNDARIES)[CATEGORICAL].numpy(), dtypes)
    for remark in told:
        note(remark)


def train(fn_args: FnArgs, settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData) -> None:
    """Trains as `run_fn` does, on rows that have been read."""
    if fn_args.hyperparameters:
        settings = settings.tuned(fn_args.hyperparameters["values"])
    kinds = settings.member_kinds(data.num_rows)
    model, seconds = None, 0.0
    with ThreadPoolExecutor(1) as beside:
        learning = beside.submit(_learn_others, kinds, settings, transform_output, data)
        if "network" in kinds:
            started = time.monotonic()
            model = _train_network(fn_args, settings, transform_output, data)
            seconds = time.monotonic() - started
        members = learning.result()
    if model is not None and members:
        facts = f"{model.count_params():,} weights"
        members.insert(0, Member("network", data.outputs(model), model, seconds, facts))
    if members:
        say("weighing what was trained")
        standings = weigh(members, data.division, data.labels, data.encoding, data.weights)
        print("\n".join(map(str, standings)), flush=True)
        _write(fn_args, MEMBERS_FILE, [standing.to_json() for standing in standings])
        model = whole_model(members, standings, input_layers(transform_output, settings.label))
    say("exporting the model")
    export_model(
        model,
        transform_output,
        transformation(settings, transform_output),
        settings.label,
        data.encoding,
        fn_args.serving_model_dir,
    )


def _train_network(
    fn_args: FnArgs, settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData
) -> keras.Model:
    strategy = _strategy()
    recipe = Recipe.of(settings.model, settings.training, len(data.train))
    with strategy.scope():
        model = compiled_model(settings, transform_output, data, recipe)
    print(
        f"training on {len(data.train):,} rows, validating on {len(data.validation):,}; "
        f"{model.count_params():,} weights on {strategy.num_replicas_in_sync} device(s)\n"
        f"{recipe}",
        flush=True,
    )
    say("starting the first epoch")
    history = fit(model, data, recipe, settings.training.seed, fn_args.model_run_dir)
    _write(fn_args, HISTORY_FILE, history)
    _write(fn_args, RECIPE_FILE, recipe.to_json())
    return model


def _learn_others(
    kinds: Sequence[str], settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData
) -> list[Member]:
    plan = feature_plan(settings, transform_output) if settings.preprocessing_fn is None else None
    table = Table(
        plan, categories(settings, transform_output), data.take, data.labels, data.division, data.encoding, data.weights
    )
    return [learn(kind, table) for kind in kinds if kind != "network"]


def _write(fn_args: FnArgs, name: str, content: object) -> None:
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, name), "w") as file:
        file.write(json.dumps(content, indent=2))


class TrainingData:
    """The rows to train on and to validate on.

    Args:
      rows: those of the training split.
      settings: the Trainer's settings.

    Attributes:
      encoding: how the label is learnt.
      train: the indices of the rows to train on.
      validation: the indices of the rows held back for early stopping; may be empty.
      labels: [N] of all rows, class indices or the standardised label.
      weights: how much each of all rows counts, [N]; None where all count the same.

    Raises:
      DataError: the label is missing, has one value, or does not suit the task.
    """

    def __init__(self, rows: examples.Rows, settings: TrainerSettings) -> None:
        self.encoding = LabelEncoding.fit(settings.task, settings.label, rows.labels, settings.positive_class)
        training = settings.training
        self.labels = self.encoding.encode(rows.labels)
        self.train, self.validation = self._divide(rows, validation_fraction(training, len(rows)), training.seed)
        self._features = rows.features
        self._seed = training.seed
        column = None if rows.weights is None else weights.checked(str(training.weight), rows.weights)
        self.weights = weights.row_weights(training.class_weights, self.encoding, self.labels, column)

    @classmethod
    def read(cls, patterns: Sequence[str], settings: TrainerSettings, transform_output: tft.TFTransformOutput) -> TrainingData:
        """Reads the training split.

        Args:
          patterns: those of its TFRecord files.
          settings: the Trainer's settings.
          transform_output: the transform graph.

        Raises:
          ConfigError: the user's own preprocessing_fn returned features that cannot be batched, or there is no such positive
            class, weighted class or column of weights.
          DataError: the label is missing, has one value, or does not suit the task, or rows cannot be weighed.
        """
        if settings.preprocessing_fn is not None:
            examples.check_dense(transform_output.transformed_feature_spec(), label_feature(settings.label))
        name, specs = settings.training.weight, transform_output.raw_feature_spec()
        if name is not None:
            weights.require_column(name, specs)
        weight = {name: specs[name]} if name is not None else None
        return cls(examples.read(patterns, transformation(settings, transform_output), settings.label, weight), settings)

    def _divide(self, rows: examples.Rows, fraction: float, seed: int) -> tuple[Indices, Indices]:
        """The rows to train on and those held back, among which chance might leave few of a rare class, or none."""
        if self.encoding.task is Task.REGRESSION:
            return rows.divide(fraction, seed)
        classes = self.labels.astype(np.int64)
        is_rare = fraction * np.bincount(classes).min() < _ROWS_OF_A_CLASS
        return rows.divide(fraction, seed, classes if is_rare else None)

    @property
    def num_rows(self) -> int:
        """All rows."""
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> dict[str, tf.Tensor]:
        """The transformed features of some rows by name, [N, values]; of bags padded with 0."""
        return {name: examples.take(feature, rows) for name, feature in self._features.items()}

    @property
    def division(self) -> Division:
        """Which rows are learnt from, and which judge."""
        return Division(self.train, self.validation, self._seed, self.encoding.num_outputs)

    def outputs(self, model: keras.Model) -> Outputs:
        """What a model puts out for the validation rows, [N, outputs]."""
        if not len(self.validation):
            return np.zeros((0, self.encoding.num_outputs))
        rows = examples.batches(self._features, self.labels, self.validation, _ROWS_AT_ONCE, shuffle_seed=None)
        return np.asarray(model.predict(rows.map(lambda features, labels: features), verbose=0), np.float64)

    def sample(self, most: int) -> dict[str, tf.Tensor]:
        """The transformed features of some rows to train on, by name, [N, values].

        Args:
          most: how many rows at most. They are spread over all rows, which are often in the order of time.
        """
        chosen = self.train[:: math.ceil(len(self.train) / most)]
        return self.take(chosen)

    def batches(self, batch_size: int, seed: int) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
        """Training rows without end, in a new order each epoch, and validation rows, None where there are none."""
        rows = functools.partial(examples.batches, self._features, self.labels, weights=self.weights)
        train = rows(self.train, batch_size, seed)
        return train, rows(self.validation, max(batch_size, _ROWS_AT_ONCE), None) if len(self.validation) else None


def make_deterministic(seed: int) -> None:
    """Makes trainings on the same rows in this process give the same weights."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compiled_model(
    settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData, recipe: Recipe
) -> keras.Model:
    """Builds the derived model or the user's own, and compiles it unless it is compiled already.

    Args:
      settings: the Trainer's settings.
      transform_output: the transform graph.
      data: what the model will be trained on.
      recipe: how it is built and will be trained.

    Raises:
      ConfigError: the user's own build_model does not return a model with the right output.
    """
    encoding = data.encoding
    inputs = input_layers(transform_output, settings.label)
    indices = categories(settings, transform_output)
    own = settings.build_model
    if own is None:
        sample = data.sample(ROWS_FOR_BOUNDARIES)
        encoder = number_encoder(settings, transform_output, sample, recipe)
        model = build_model(inputs, indices, encoding.num_outputs, recipe, encoder)
    else:
        model = own.load()(
            inputs=inputs,
            categories=indices,
            num_outputs=encoding.num_outputs,
            hyperparameters={**settings.hyperparameters(), **recipe.to_json()},
        )
        _check_model(model, encoding.num_outputs, f"{own.file}:{own.function}")
    losses = {
        Task.BINARY: (keras.losses.BinaryCrossentropy(from_logits=True), keras.metrics.AUC(from_logits=True, name="auc")),
        Task.MULTICLASS: (
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ),
        Task.REGRESSION: (
            keras.losses.MeanSquaredError(),
            keras.metrics.MeanMetricWrapper(
                lambda labels, outputs: encoding.deviation * keras.losses.mean_absolute_error(labels, outputs), name="mae"
            ),
        ),
    }
    if not model.compiled:
        loss, metric = losses[encoding.task]
        learning_rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.num_steps)
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate),
            loss=loss,
            metrics=[metric],
            steps_per_execution=recipe.steps_per_execution,
        )
    return model


class _Progress(keras.callbacks.Callback):
    """Prints a line an epoch, which it keeps, and one a second within; stops when the loss is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._started = 0.0
        self._steps, self._done = RowProgress(""), 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._started = time.monotonic()
        self._done = 0
        self._steps = RowProgress(f"epoch {epoch + 1}/{self.params['epochs']}", self.params["steps"], "steps")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # Called once for several steps that are executed together: a model compiled by the user may go beyond the epoch.
        done = min(batch + 1, self.params["steps"])
        self._steps.add(done - self._done)
        self._done = done

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        if metrics["loss"] != metrics["loss"]:
            raise NodeError(
                "The training loss is not a number.",
                where=f"Trainer, epoch {epoch + 1}",
                expected="a loss that falls",
                seen="NaN",
                fix="Lower training.learning_rate, or look for extreme values in the data.",
            )
        seconds = time.monotonic() - self._started
        self.history.append({"epoch": epoch + 1, "seconds": seconds, **metrics})
        values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        say(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {values}")


def fit(model: keras.Model, data: TrainingData, recipe: Recipe, seed: int, model_run_dir: str) -> list[dict[str, float]]:
    """Trains a compiled model.

    Args:
      model: as `compiled_model` makes it.
      data: what it is trained on.
      recipe: how it is trained.
      seed: that of the order of the rows.
      model_run_dir: where TensorBoard's curves go.

    Returns:
      The history that `HISTORY_FILE` holds.

    Raises:
      NodeError: the loss is not a number.
    """
    train, validation = data.batches(recipe.batch_size, seed)
    progress = _Progress()
    callbacks = [progress, keras.callbacks.TensorBoard(model_run_dir, write_graph=False)]
    if validation is not None and recipe.patience:
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True))
    model.fit(
        train,
        validation_data=validation,
        epochs=recipe.epochs,
        steps_per_epoch=recipe.steps_per_epoch,
        callbacks=callbacks,
        shuffle=False,  # the rows are shuffled already
        verbose=0,
    )
    return progress.history


def _strategy() -> tf.distribute.Strategy:
    """All the GPUs of this machine where there are several; the one, or the CPU, otherwise."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _check_model(model: object, num_outputs: int, where: str) -> None:
    seen = str(model.output_shape) if isinstance(model, keras.Model) else type(model).__name__
    if not isinstance(model, keras.Model) or model.output_shape != (None, num_outputs):
        raise ConfigError(
            "Your own build_model does not return the model that is needed.",
            where=where,
            expected=f"a keras.Model whose output has the shape {(None, num_outputs)}",
            seen=seen,
            fix="Return a model like the one in docs/your-own-code.md.",
        )
