"""The settings that Transform, Trainer and Tuner get from the configuration: the same types on both sides, JSON in between.

They are part of a component's cache key, so each gets the fields that it depends on and no others. As its function is named by
import path, the digest of the function's code is among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import Field

from pipeline.config import Decision, Feature, Model, Preprocessing, Split, Task, Training
from pipeline.config.section import Section
from pipeline.config.training import MemberKind
from pipeline.errors import ConfigError
from pipeline.training.user_code import UserFunction
from pipeline.util import code
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from typing_extensions import Self

    from pipeline.config import PipelineConfig
    from pipeline.contracts.schema import Schema

# Named by import path in the compiled pipeline: importing them here would load TensorFlow to compile a pipeline.
PREPROCESSING_FN = "pipeline.training.preprocessing.preprocessing_fn"
RUN_FN = "pipeline.training.trainer.run_fn"
TUNER_FN = "pipeline.training.tuner.tuner_fn"

OF_TREES = "trees."
"""What the names of trees' hyperparameters begin with."""

# With more rows a network learns what a linear model knows.
_MOST_ROWS_FOR_LINEAR = 20_000


class TransformSettings(Section):
    """The settings of Transform."""

    label: str
    """The column that the model learns to predict."""
    features: dict[str, Feature] = Field(default_factory=dict)
    """How single columns are prepared, by name: as configured, otherwise as the domains of the curated schema say."""
    lists: dict[str, int | None] = Field(default_factory=dict)
    """The columns with several values in a row, with their number, None where rows differ: what Transform's executor finds in
    the schema, which is inferred only in the run."""
    preprocessing: Preprocessing = Preprocessing()
    """The defaults for all columns; the user's own function is in `preprocessing_fn` instead."""
    preprocessing_fn: UserFunction | None = None
    """The user's own function instead of the derived preprocessing."""
    code: str = ""
    """The digest of the code behind the component's function."""

    def to_custom_config(self) -> dict[str, Any]:
        """The component's `custom_config`, which `model_validate` reads."""
        return self.model_dump(mode="json")


class TrainerSettings(TransformSettings):
    """The settings of Trainer."""

    task: Task = Task.BINARY
    """The kind of prediction."""
    positive_class: str | int | bool | None = None
    """The class of a binary label whose probability the score is."""
    model: Model = Model()
    """The derived model; the user's own function is in `build_model` instead."""
    training: Training = Training()
    """How the model is trained."""
    split: Split = Split()
    """How rows were divided, by which the Trainer holds rows back too: the method, with its columns and gap."""
    build_model: UserFunction | None = None
    """The user's own function instead of the derived model."""
    decision: Decision = Decision()
    """What the threshold of a label with two classes is chosen for."""

    def member_kinds(self, num_rows: int) -> tuple[MemberKind, ...]:
        """What the model is made of, for a table of some rows: each kind once, the network first."""
        kind = self.model.kind
        if self.build_model is not None:
            return ("network",)
        if kind == "auto":
            return ("network", "trees", "linear") if num_rows < _MOST_ROWS_FOR_LINEAR else ("network", "trees")
        named = (kind,) if isinstance(kind, str) else kind
        return tuple(known for known in get_args(MemberKind) if known in named)

    def hyperparameters(self) -> dict[str, Any]:
        """The fields of the sections `model` and `training` as one, as `build_model` functions get them."""
        model = self.model.model_dump(mode="json", exclude={"build_model", "kind", "trees"})
        return {**model, **self.training.model_dump(mode="json")}

    def tuned(self, found: Mapping[str, Any]) -> Self:
        """These settings with the values that the tuner found in place of the configured ones.

        Args:
          found: values by the names that `pipeline.training.tuning.space` gives them.
        """
        values = {name: value for name, value in found.items() if not name.startswith(OF_TREES)}
        trees = {name.removeprefix(OF_TREES): value for name, value in found.items() if name not in values}
        values["trees"] = self.model.trees.model_copy(update=trees)
        if "layers" in values:
            values["hidden_units"] = hidden_units(values.pop("width"), values.pop("layers"))
        sections = {
            name: section.model_copy(update={key: value for key, value in values.items() if key in type(section).model_fields})
            for name, section in (("model", self.model), ("training", self.training))
        }
        return self.model_copy(update=sections)

    def with_steps_per_epoch(self, steps: int | None) -> Self:
        """These settings with another number of steps an epoch; None: as many as the training split has batches."""
        return self.tuned({"steps_per_epoch": steps})


class TunerSettings(TrainerSettings):
    """The settings of Tuner."""

    num_trials: int
    """How many settings to try of each kind of member."""
    epochs_per_trial: int | None = None
    """Passes over the training split in each trial at the most; None: as in training."""
    minutes: float | None = None
    """How long trials may take until no other one begins; None: no limit."""


def hidden_units(width: int, layers: int) -> tuple[int, ...]:
    """Hidden layers that halve from one to the next, down to 8 units."""
    return tuple(max(8, width >> position) for position in range(layers))


def for_transform(config: PipelineConfig, schema: Schema | None = None) -> TransformSettings:
    """The settings of Transform.

    Args:
      config: the pipeline's configuration.
      schema: the curated schema, if there is one. Its domains say what columns are where the configuration does not.

    Raises:
      ConfigError: the configuration names a column that the schema does not have, or code that cannot be read.
    """
    fields = _preprocessing(config, schema)
    fields["features"] = {name: _without_embedding(feature) for name, feature in fields["features"].items()}
    return TransformSettings(**fields, code=_code(PREPROCESSING_FN))


def for_trainer(config: PipelineConfig, schema: Schema | None = None) -> TrainerSettings:
    """The settings of Trainer. Arguments and errors are those of `for_transform`."""
    return TrainerSettings(**_preprocessing(config, schema), **_training(config), decision=config.decision, code=_code(RUN_FN))


def for_tuner(config: PipelineConfig, schema: Schema | None = None) -> TunerSettings:
    """The settings of Tuner. Arguments and errors are those of `for_transform`."""
    return TunerSettings(
        **_preprocessing(config, schema),
        **_training(config),
        num_trials=config.tuner.trials,
        epochs_per_trial=config.tuner.epochs,
        minutes=config.tuner.minutes,
        code=_code(TUNER_FN),
    )


def kinds_from_schema(schema: Schema) -> dict[str, str]:
    """The kinds of columns that the domains of a schema tell.

    Returns:
      By column: `time` where it has a time domain, `categorical` where it has an integer domain that is marked as such.
    """
    times = {feature.name: "time" for feature in schema.features if feature.domain == "time"}
    return times | {feature.name: "categorical" for feature in schema.features if feature.is_categorical}


def named_columns(features: Mapping[str, Feature]) -> list[str]:
    """The columns that must be in the examples: what is ignored need not be."""
    return [name for name, feature in features.items() if feature.kind != "ignore"]


def check_names(names: Iterable[str], columns: Iterable[str]) -> None:
    """Checks that every column that the configuration names exists.

    Raises:
      ConfigError: one does not.
    """
    known = sorted(columns)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"There is no column {name!r} in the data.",
                where=f"features.{name}",
                expected=f"one of {', '.join(known)}",
                seen=name,
                fix=did_you_mean(name, known)
                or "Remove it from the section `features`. A column without a value in any row is none.",
            )


def _preprocessing(config: PipelineConfig, schema: Schema | None) -> dict[str, Any]:
    features = dict(config.features)
    if schema is not None:
        check_names(named_columns(features), schema.by_name)
        for name, kind in kinds_from_schema(schema).items():
            if name != config.label:
                # Every option of a column implies its kind, so whatever the configuration says of a column goes first.
                features.setdefault(name, Feature.model_validate({"kind": kind}))
    for weight in config.weights:
        features[weight] = Feature(kind="ignore")
    return {
        "label": config.label,
        "features": features,
        "preprocessing": config.preprocessing.model_copy(update={"preprocessing_fn": None}),
        "preprocessing_fn": _user_function(config, "preprocessing.preprocessing_fn", config.preprocessing.preprocessing_fn),
    }


def _training(config: PipelineConfig) -> dict[str, Any]:
    split = config.data.split
    return {
        "task": config.task,
        "positive_class": config.positive_class,
        "model": config.model.model_copy(update={"build_model": None}),
        "training": config.training,
        "split": Split(method=split.method, by=split.by, gap=split.gap),
        "build_model": _user_function(config, "model.build_model", config.model.build_model),
    }


def _without_embedding(feature: Feature) -> Feature:
    """The feature without the option that the Trainer alone depends on, and with the kind that this option implies."""
    if feature.embedding is None:
        return feature
    kind = feature.kind or ("text" if feature.hash_buckets else "categorical")
    return feature.model_copy(update={"embedding": None, "kind": kind})


def _user_function(config: PipelineConfig, field: str, reference: str | None) -> UserFunction | None:
    if reference is None:
        return None
    return UserFunction.read(field, config.resolve(reference))


def _code(function: str) -> str:
    return code.digest(function.rpartition(".")[0])
