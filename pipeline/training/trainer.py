"""The Trainer's run_fn: reads and transforms rows, trains what the model is made of, exports."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline.config import Task
from pipeline.training import examples, raw, remarks
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.data import TrainingData
from pipeline.training.export import export_model
from pipeline.training.head import Head
from pipeline.training.members.learning import Member, Table, learn, learn_baseline
from pipeline.training.members.whole import MEMBERS_FILE, Standing, weigh, whole_model, whole_outputs
from pipeline.training.model import ROWS_FOR_BOUNDARIES, categories, feature_plan, input_layers
from pipeline.training.network import compiled_model, fit, learn_again, make_deterministic, state_of, strategy_of_devices
from pipeline.training.preprocessing import CATEGORICAL
from pipeline.training.recipe import LEARNT_AGAIN, RECIPE_FILE, Recipe
from pipeline.training.settings import TrainerSettings
from pipeline.training.transformation import transformation
from pipeline.training.vocabularies import vocabularies_of
from pipeline.training.workers import Workers
from pipeline.util.notes import note
from pipeline.util.progress import say

HISTORY_FILE = "history.json"
"""In the `model_run` artifact: a list with an object for each epoch: epoch, seconds, loss and metrics, `val_` before those
of the validation rows."""


def run_fn(fn_args: FnArgs) -> None:
    """Trains a model and writes it to `fn_args.serving_model_dir`, curves, history and recipe to `fn_args.model_run_dir`.

    Where TF_CONFIG names several workers, all of them call it, with the same arguments; the first one writes.

    Args:
      fn_args: as TFX's Trainer passes them; `custom_config` is that of `pipeline.training.settings.TrainerSettings`.

    Raises:
      DataError: the label is missing, has one value, does not suit the task, or has one that only the evaluation rows have.
      ConfigError: the user's own code does not return features or a model of the right kind.
      NodeError: the loss is not a number, or a worker has ended before it was done.
    """
    settings = TrainerSettings.model_validate(fn_args.custom_config)
    make_deterministic(settings.training.seed)
    workers = Workers.here()
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    data = TrainingData.read(fn_args.train_files, settings, transform_output)
    evaluated = examples.read_labels(fn_args.eval_files or (), transform_output, settings.label)
    data.encoding.check_known(settings.label, evaluated, f"column {settings.label}, split eval")
    if remark := remarks.on_positive_class(data.encoding, data.labels):
        note(remark)
    if settings.preprocessing_fn is None:
        _tell_remarks(settings, transform_output, data)
    train(fn_args, settings, transform_output, data, workers)


def _tell_remarks(settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData) -> None:
    plan = feature_plan(settings, transform_output)
    told = list(remarks.on_lists(plan))
    if plan.categorical:
        vocabularies = vocabularies_of(plan.categorical, transform_output.transform_savedmodel_dir)
        sizes = {column.name: len(values) for column, values in zip(plan.categorical, vocabularies, strict=True)}
        dtypes = {name: raw.dtype_name(spec.dtype) for name, spec in transform_output.raw_feature_spec().items()}
        told += remarks.on_rare_values(plan, sizes, data.sample(ROWS_FOR_BOUNDARIES)[CATEGORICAL].numpy(), dtypes)
    for remark in told:
        note(remark)


def train(
    fn_args: FnArgs,
    settings: TrainerSettings,
    transform_output: tft.TFTransformOutput,
    data: TrainingData,
    workers: Workers | None = None,
) -> None:
    """Trains as `run_fn` does, on rows that have been read."""
    if fn_args.hyperparameters:
        settings = settings.tuned(fn_args.hyperparameters["values"])
    kinds = settings.member_kinds(data.num_rows)
    checkpoints = _checkpoints(fn_args, settings, data, are_kept=workers is None or workers.is_first)
    if workers and not workers.is_first:
        if "network" in kinds:
            _train_network(fn_args, settings, transform_output, data, checkpoints, workers)
        workers.leave_together()
        return
    with ThreadPoolExecutor(1) as beside:
        learning = beside.submit(_learn_others, kinds, settings, transform_output, data, checkpoints)
        networks = (
            [_train_network(fn_args, settings, transform_output, data, checkpoints, workers)] if "network" in kinds else []
        )
        others, baseline = learning.result()
    members = [*networks, *others]
    standings: list[Standing] = []
    if len(members) > len(networks):
        say("weighing what was trained")
        standings = weigh(members, data.division, data.labels, data.encoding, data.weights, baseline)
        print("\n".join(map(str, standings)), flush=True)
        _write(fn_args, MEMBERS_FILE, [standing.to_json() for standing in standings])
    head = _head(settings, data, members, standings)
    inputs = input_layers(transform_output, settings.label)
    model = whole_model(members, standings, inputs) if standings else networks[0].layer
    say("exporting the model")
    export_model(
        model,
        transform_output,
        transformation(settings, transform_output),
        settings.label,
        head,
        data.sample_as_read if settings.training.explainable else data.sample_as_read[:0],
        fn_args.serving_model_dir,
    )
    checkpoints.remove()
    if workers:
        workers.leave_together()


def _head(
    settings: TrainerSettings,
    data: TrainingData,
    members: Sequence[Member],
    standings: Sequence[Standing],
) -> Head:
    """What is done with the outputs of the network, or of all members: by the rows that these have not learnt from."""
    if data.encoding.task is Task.REGRESSION:
        return Head(data.encoding)
    say("calibrating the probabilities")
    if standings:
        rows, outputs = whole_outputs(members, standings, data.division)
    else:
        rows, outputs = data.validation, members[0].outputs
    head = Head.fit(
        data.encoding,
        settings.decision,
        outputs,
        data.labels[rows],
        data.counts[rows],
        data.class_weights,
        settings.training.seed,
        is_level_free=data.division.is_ordered,
    )
    if head.calibration:
        print(head.calibration, flush=True)
    if head.threshold.unmet:
        note(head.threshold.unmet)
    return head


def _train_network(
    fn_args: FnArgs,
    settings: TrainerSettings,
    transform_output: tft.TFTransformOutput,
    data: TrainingData,
    checkpoints: Checkpoints,
    workers: Workers | None,
) -> Member:
    started = time.monotonic()
    strategy = workers.strategy if workers else strategy_of_devices()
    recipe = Recipe.of(settings.model, settings.training, len(data.train))
    with strategy.scope():
        model = compiled_model(settings, transform_output, data, recipe)
    on = f"{workers.number} workers" if workers else f"{strategy.num_replicas_in_sync} device(s)"
    print(
        f"training on {len(data.train):,} rows, validating on {len(data.validation):,}, {data.division.words}; "
        f"{model.count_params():,} weights on {on}\n"
        f"{recipe}",
        flush=True,
    )
    say("starting the first epoch")
    start = state_of(model)
    writes = workers is None or workers.is_first
    curves = [keras.callbacks.TensorBoard(fn_args.model_run_dir, write_graph=False)] if writes else []
    history = fit(model, data, recipe, settings.training.seed, curves, checkpoint=checkpoints.of("network"))
    outputs = data.outputs(model)
    learns_again = data.division.is_ordered and len(data.validation) > 0
    if learns_again:
        learn_again(model, start, history, data, recipe, settings.training.seed, checkpoints.of("network-again"))
    if writes:
        _write(fn_args, HISTORY_FILE, history)
        _write(fn_args, RECIPE_FILE, {**recipe.to_json(), LEARNT_AGAIN: learns_again})
    described = f"{model.count_params():,} weights"
    if workers:
        # The first one goes on without the others, who would have to take part in whatever a shared model does.
        weights = model.get_weights()
        model = compiled_model(settings, transform_output, data, recipe)
        model.set_weights(weights)
    return Member("network", outputs, model, time.monotonic() - started, described)


def _learn_others(
    kinds: Sequence[str],
    settings: TrainerSettings,
    transform_output: tft.TFTransformOutput,
    data: TrainingData,
    checkpoints: Checkpoints,
) -> tuple[list[Member], Member | None]:
    """All members but the network; and where they are several and none is linear, one to compare them with."""
    table = table_of(settings, transform_output, data)
    others = [learn(kind, table, checkpoints.of(kind)) for kind in kinds if kind != "network"]
    has_baseline = len(kinds) > 1 and "linear" not in kinds and len(data.validation)
    return others, learn_baseline(table) if has_baseline else None


def table_of(settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData) -> Table:
    """What trees and linear models learn from. Arguments are those of `compiled_model`."""
    return Table(
        feature_plan(settings, transform_output) if settings.preprocessing_fn is None else None,
        categories(settings, transform_output),
        data.take,
        data.labels,
        data.division,
        data.encoding,
        data.weights,
        settings.model.trees,
    )


def _checkpoints(fn_args: FnArgs, settings: TrainerSettings, data: TrainingData, *, are_kept: bool) -> Checkpoints:
    """The places beside the folders that TFX makes for the node's executions, of which each try has others."""
    inputs = [settings.model_dump(mode="json"), *fn_args.train_files, fn_args.transform_graph_path]
    folder = Path(fn_args.model_run_dir).parents[1] / ".system" / "checkpoints"
    return Checkpoints(folder, inputs, data.labels, are_kept=are_kept)


def _write(fn_args: FnArgs, name: str, content: object) -> None:
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, name), "w") as file:
        file.write(json.dumps(content, indent=2))
