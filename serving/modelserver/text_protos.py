"""Configuration files in protobuf text format, with the messages that tensorflow-serving-api does not publish."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from pipeline.errors import ConfigError

_Field = descriptor_pb2.FieldDescriptorProto
_M = TypeVar("_M", bound=Message)
_FILE = "conveyor/modelserver.proto"


def _message(name: str, **kinds: int | str) -> descriptor_pb2.DescriptorProto:
    """A message whose fields are of a type, or are the message of a name; a plain int64 is a list, the wrapper one number."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, (field, kind) in enumerate(kinds.items(), start=1):
        added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
        if isinstance(kind, int):
            added.type = kind
            if kind == _Field.TYPE_INT64:
                added.label = _Field.LABEL_REPEATED
        else:
            added.type, added.type_name = _Field.TYPE_MESSAGE, kind
    return message


_INT64, _BOOL, _STRING = (f".google.protobuf.{name}" for name in ("Int64Value", "BoolValue", "StringValue"))
_FILE_DESCRIPTOR = descriptor_pb2.FileDescriptorProto(
    name=_FILE,
    package="conveyor.modelserver",
    syntax="proto3",
    dependency=[wrappers_pb2.DESCRIPTOR.name],
    message_type=[
        # tensorflow_serving/servables/tensorflow/session_bundle_config.proto
        _message(
            "BatchingParameters",
            max_batch_size=_INT64,
            batch_timeout_micros=_INT64,
            max_enqueued_batches=_INT64,
            num_batch_threads=_INT64,
            thread_pool_name=_STRING,
            allowed_batch_sizes=_Field.TYPE_INT64,
            pad_variable_length_inputs=_Field.TYPE_BOOL,
            enable_large_batch_splitting=_BOOL,
            max_execution_batch_size=_INT64,
        ),
        # tensorflow_serving/config/monitoring_config.proto
        _message("PrometheusConfig", enable=_Field.TYPE_BOOL, path=_Field.TYPE_STRING),
        _message("MonitoringConfig", prometheus_config=".conveyor.modelserver.PrometheusConfig"),
        # tensorflow_serving/config/ssl_config.proto
        _message(
            "SSLConfig",
            server_key=_Field.TYPE_STRING,
            server_cert=_Field.TYPE_STRING,
            custom_ca=_Field.TYPE_STRING,
            client_verify=_Field.TYPE_BOOL,
        ),
    ],
)
descriptor_pool.Default().Add(_FILE_DESCRIPTOR)
_MESSAGES = message_factory.GetMessageClassesForFiles([_FILE], descriptor_pool.Default())

BatchingParameters = _MESSAGES["conveyor.modelserver.BatchingParameters"]
MonitoringConfig = _MESSAGES["conveyor.modelserver.MonitoringConfig"]
SSLConfig = _MESSAGES["conveyor.modelserver.SSLConfig"]


def read_text_proto(path: str | Path, message: type[_M]) -> _M:
    """Reads a file in protobuf text format.

    Args:
      path: the file.
      message: the type of the message in it.

    Raises:
      ConfigError: the file cannot be read, or does not contain such a message.
    """
    try:
        return text_format.Parse(Path(path).read_text(), message())
    except OSError as error:
        raise ConfigError("A configuration file cannot be read.", where=str(path), seen=error.strerror or str(error)) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(
            "A configuration file cannot be understood.",
            where=str(path),
            expected=f"{message.DESCRIPTOR.name} in protobuf text format",
            seen=str(error),
        ) from error
