"""The configuration of the served models: TensorFlow Serving's ModelServerConfig."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from tensorflow_serving.config import model_server_config_pb2

from serving.modelserver.flags import Flags
from serving.modelserver.status import StatusError, failed_precondition, invalid_argument
from serving.modelserver.text_protos import read_text_proto

_PLATFORM = "tensorflow"
_FILE_SCHEME = "file://"

ModelConfig: TypeAlias = model_server_config_pb2.ModelConfig
ModelServerConfig: TypeAlias = model_server_config_pb2.ModelServerConfig


def read_config(flags: Flags) -> ModelServerConfig:
    """The configuration that a server starts with: --model_config_file, otherwise the one model of the flags.

    Raises:
      ConfigError: the file cannot be read.
    """
    if flags.model_config_file:
        return read_text_proto(flags.model_config_file, ModelServerConfig)
    config = ModelServerConfig()
    config.model_config_list.config.add(name=flags.model_name, base_path=flags.model_base_path, model_platform=_PLATFORM)
    return config


def local_path(base_path: str) -> Path:
    """The folder that a base path names: a path, or a URI of the scheme file as TensorFlow reads it.

    Args:
      base_path: such as /models/m or file:///models/m.
    """
    return Path(base_path.removeprefix(_FILE_SCHEME))


def check_config(config: ModelServerConfig) -> None:
    """Refuses a configuration that cannot be carried out.

    Raises:
      StatusError: the configuration cannot be carried out.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise failed_precondition("ModelServer does not yet support custom model config.")
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        problem = _problem(model)
        if problem is not None:
            raise problem


def _problem(model: ModelConfig) -> StatusError | None:
    if not model.name:
        return invalid_argument("A model of the config list has no name.")
    if not local_path(model.base_path).is_absolute():
        return invalid_argument(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )
    if model.model_type == model_server_config_pb2.MODEL_TYPE_UNSPECIFIED and not model.model_platform:
        return invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            f"model name is {model.name}"
        )
    if model.model_platform not in ("", _PLATFORM):
        return invalid_argument(f"Model {model.name} requests unsupported platform {model.model_platform}")
    if model.HasField("logging_config"):
        return invalid_argument(
            f"Model {model.name} has a logging_config, but this server logs no requests. Remove it; Conveyor's gateway keeps a "
            "log of predictions"
        )
    return None
