"""What each component gets to know of the configuration: JSON-able, and part of its cache key.

A component is given the fields that it depends on and no others, so that it is not run again for the sake of the rest. As
functions are named by import path, the digest of their code is among the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.training.features import check_names, kinds_from_schema
from pipeline.training.user_code import UserFunction
from pipeline.util import code

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

    from pipeline.config import PipelineConfig

# Named by import path in the compiled pipeline: importing them here would load TensorFlow to compile a pipeline.
PREPROCESSING_FN = "pipeline.training.preprocessing.preprocessing_fn"
RUN_FN = "pipeline.training.trainer.run_fn"
TUNER_FN = "pipeline.training.tuner.tuner_fn"


def for_transform(config: PipelineConfig, schema: schema_pb2.Schema | None = None) -> dict[str, Any]:
    """The `custom_config` of Transform.

    Args:
      config: the pipeline's configuration.
      schema: the curated schema, if there is one. Its domains say what columns are where the configuration does not.

    Raises:
      ConfigError: the configuration names a column that the schema does not have, or code that cannot be read.
    """
    settings = _preprocessing(config, schema)
    for feature in settings["features"].values():
        feature.pop("embedding", None)
    return {**settings, "code": _code(PREPROCESSING_FN)}


def for_trainer(config: PipelineConfig, schema: schema_pb2.Schema | None = None) -> dict[str, Any]:
    """The `custom_config` of Trainer. Arguments and errors are those of `for_transform`."""
    return {
        **_preprocessing(config, schema),
        "task": config.task.value,
        "model": config.model.model_dump(mode="json", exclude={"build_model"}),
        "training": config.training.model_dump(mode="json"),
        "build_model": _user_function(config, "model.build_model", config.model.build_model),
        "code": _code(RUN_FN),
    }


def for_tuner(config: PipelineConfig, schema: schema_pb2.Schema | None = None) -> dict[str, Any]:
    """The `custom_config` of Tuner. Arguments and errors are those of `for_transform`.

    Raises:
      ConfigError: no rows are held back on which trials could be compared.
    """
    if not config.training.validation_fraction:
        raise ConfigError(
            "The tuner has no rows to compare its trials on.",
            where="training.validation_fraction",
            expected="more than 0 while tuner.enabled is true",
            seen="0",
        )
    tuner = config.tuner.model_dump(mode="json", include={"trials", "epochs"})
    return {**for_trainer(config, schema), "tuner": tuner, "code": _code(TUNER_FN)}


def _preprocessing(config: PipelineConfig, schema: schema_pb2.Schema | None) -> dict[str, Any]:
    features = {name: feature.model_dump(mode="json", exclude_none=True) for name, feature in config.features.items()}
    if schema is not None:
        check_names(features, (feature.name for feature in schema.feature))
        for name, kind in kinds_from_schema(schema).items():
            if name != config.label:
                # Every option of a column implies its kind, so whatever the configuration says of a column goes first.
                features.setdefault(name, {"kind": kind})
    return {
        "label": config.label,
        "features": features,
        "preprocessing": config.preprocessing.model_dump(mode="json", exclude={"preprocessing_fn"}),
        "preprocessing_fn": _user_function(config, "preprocessing.preprocessing_fn", config.preprocessing.preprocessing_fn),
    }


def _user_function(config: PipelineConfig, field: str, reference: str | None) -> dict[str, str] | None:
    if reference is None:
        return None
    path = Path(config.resolve(reference.rpartition(":")[0]))
    return UserFunction.read(field, reference, path).to_settings()


def _code(function: str) -> str:
    return code.digest(function.rpartition(".")[0])
