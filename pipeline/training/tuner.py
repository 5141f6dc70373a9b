"""The Tuner's tuner_fn: a random search for better hyperparameters."""

from __future__ import annotations

import itertools

import keras
import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from pipeline.training.recipe import Recipe
from pipeline.training.settings import TunerSettings
from pipeline.training.trainer import TrainingData, compiled_model, make_deterministic
from pipeline.util.progress import say


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Prepares the search; TFX's Tuner carries it out and keeps the best hyperparameters.

    Args:
      fn_args: as TFX's Tuner passes them; `custom_config` is that of `pipeline.training.settings.TunerSettings`.

    Raises:
      DataError: the label is missing, has one value, or does not suit the task.
    """
    settings = TunerSettings.model_validate(fn_args.custom_config)
    training = settings.training.model_copy(update={"epochs": settings.epochs_per_trial, "steps_per_epoch": None})
    make_deterministic(training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    data = TrainingData.read(fn_args.train_files, settings, transform_output)
    untuned = Recipe.of(settings.model, training, len(data.train))
    trials = itertools.count()

    def build(hyperparameters: keras_tuner.HyperParameters) -> keras.Model:
        declare_space(hyperparameters)
        # The first call only tells the tuner which hyperparameters there are.
        if trial := next(trials):
            say(f"trial {trial} of {settings.num_trials}")
        # Each trial starts from the same state, whatever the trials before it used up.
        keras.utils.set_random_seed(training.seed)
        tried = settings.model_copy(update={"training": training}).tuned(hyperparameters.values)
        return compiled_model(tried, transform_output, data, Recipe.of(tried.model, tried.training, len(data.train)))

    tuner = keras_tuner.RandomSearch(
        build,
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=settings.num_trials,
        seed=training.seed,
        directory=fn_args.working_dir,
        project_name="search",
    )
    train, validation = data.batches(untuned.batch_size, training.seed)
    return TunerFnResult(
        tuner=tuner,
        fit_kwargs={
            "x": train,
            "validation_data": validation,
            "epochs": untuned.epochs,
            "steps_per_epoch": untuned.steps_per_epoch,
            "verbose": 2,
        },
    )


def declare_space(hyperparameters: keras_tuner.HyperParameters) -> None:
    """Declares the hyperparameters that are searched; all others are as configured in the sections `model` and `training`."""
    hyperparameters.Float("learning_rate", 3e-4, 1e-2, sampling="log")
    hyperparameters.Choice("width", [32, 64, 128, 256])
    hyperparameters.Int("layers", 1, 3)
    hyperparameters.Float("dropout", 0.0, 0.5, step=0.1)
    hyperparameters.Float("embedding_dropout", 0.0, 0.3, step=0.1)
    hyperparameters.Choice("l2", [0.0, 1e-6, 1e-5, 1e-4])
