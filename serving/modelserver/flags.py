"""The flags of tensorflow_model_server, by their names and with their defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.errors import ConfigError

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Flags of TensorFlow Serving without a meaning here.
_IGNORED = (
    "enable_profiler",
    "flush_filesystem_caches",
    "mixed_precision",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "prefer_tflite_model",
    "remove_unused_fields_from_bundle_metagraph",
    "skip_initialize_tpu",
    "thread_pool_factory_config_file",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)


def _flag(default: int | str | bool, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Flags:
    """The flags of a model server; names and defaults are those of tensorflow_model_server 2.20.

    Attributes:
      ignored: flags that were given, but have no meaning here.
    """

    port: int = _flag(8500, "TCP port of the gRPC interface; 0 turns it off.")
    grpc_socket_path: str = _flag("", "A UNIX socket to listen on for gRPC, besides the port.")
    rest_api_port: int = _flag(0, "TCP port of the HTTP/REST interface; 0 turns it off.")
    rest_api_num_threads: int = _flag(4 * CORES, "How many REST requests are worked on at once.")
    rest_api_timeout_in_ms: int = _flag(30_000, "Milliseconds after which a REST request is given up.")
    rest_api_enable_cors_support: bool = _flag(False, "Send CORS headers.")
    model_name: str = _flag("default", "Name of the one model; ignored with --model_config_file.")
    model_base_path: str = _flag("", "Folder of the one model's versions; ignored with --model_config_file.")
    model_config_file: str = _flag("", "ModelServerConfig in protobuf text format: which models to serve, and how.")
    model_config_file_poll_wait_seconds: int = _flag(0, "Seconds between readings of --model_config_file; 0: read it once.")
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between looks for new versions; 0: look once.")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "Let a new label name a version that is not loaded yet.")
    num_load_threads: int = _flag(0, "How many versions are loaded at once; 0: one after another.")
    num_unload_threads: int = _flag(0, "How many versions are unloaded at once; 0: one after another.")
    max_num_load_retries: int = _flag(5, "How often a version that fails to load is tried again.")
    load_retry_interval_micros: int = _flag(60_000_000, "Microseconds between those attempts; negative: at once.")
    enable_batching: bool = _flag(False, "Run requests that come at the same time as one batch.")
    batching_parameters_file: str = _flag("", "BatchingParameters in protobuf text format.")
    enable_per_model_batching_parameters: bool = _flag(False, "Read batching_params.pbtxt of each version's folder instead.")
    enable_model_warmup: bool = _flag(True, "Replay assets.extra/tf_serving_warmup_requests before a version answers.")
    num_request_iterations_for_warmup: int = _flag(0, "How often each of those requests is replayed; once when not positive.")
    saved_model_tags: str = _flag("serve", "Comma-separated tags of the MetaGraph to load.")
    enable_signature_method_name_check: bool = _flag(False, "Refuse signatures whose method name is not the call's.")
    enable_serialization_as_tensor_content: bool = _flag(False, "Answer Predict with tensor_content, not typed fields.")
    tensorflow_session_parallelism: int = _flag(0, "Threads of a session, within and between operations; 0: as many as cores.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads within an operation.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Threads between operations.")
    tensorflow_session_config_file: str = _flag("", "TensorFlow's ConfigProto in protobuf text format.")
    grpc_max_threads: int = _flag(4 * CORES, "How many gRPC requests are worked on at once.")
    grpc_channel_arguments: str = _flag(
        "", "Comma-separated arguments of the gRPC server, such as grpc.max_connection_age_ms=2000."
    )
    enable_grpc_healthcheck_service: bool = _flag(True, "gRPC's health service; here it is always on.")
    use_alts_credentials: bool = _flag(False, "Google's ALTS; not to be had here, so the server refuses to start with it.")
    ssl_config_file: str = _flag("", "SSLConfig in protobuf text format: gRPC with TLS.")
    monitoring_config_file: str = _flag("", "MonitoringConfig in protobuf text format: metrics for Prometheus.")
    max_request_bytes: int = _flag(
        16 * 2**20,
        "The most bytes of a request, also of one that is uncompressed, and of what its tensors repeat; "
        "tensorflow_model_server has no such limit and no such flag.",
    )
    model_public_key_file: str = _flag(
        "",
        "Load only versions that are signed by the private key of this public one (PEM); "
        "tensorflow_model_server verifies no signatures and has no such flag.",
    )
    host: str = _flag("0.0.0.0", "The address to listen on; tensorflow_model_server listens on all and has no such flag.")
    ignored: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuses the flags that tensorflow_model_server refuses.

        Raises:
          ConfigError: the flags contradict each other, or one is missing.
        """
        if not self.port and not self.grpc_socket_path:
            raise ConfigError("The gRPC interface has neither a port nor a socket.", where="--port, --grpc_socket_path")
        if self.port and self.port == self.rest_api_port:
            raise ConfigError("Both interfaces have the same port.", where="--port, --rest_api_port", seen=str(self.port))
        if not self.model_base_path and not self.model_config_file:
            raise ConfigError("No model is given.", expected="--model_base_path or --model_config_file")
        if self.max_request_bytes < 1:
            raise ConfigError(
                "No request is so small.", where="--max_request_bytes", expected="at least 1", seen=str(self.max_request_bytes)
            )
        if self.use_alts_credentials:
            raise ConfigError(
                "ALTS credentials are not supported.", where="--use_alts_credentials", fix="Use --ssl_config_file."
            )
        if self.batching_parameters_file and not self.enable_batching:
            raise ConfigError(
                "Batching parameters are given, but batching is off.",
                where="--batching_parameters_file",
                fix="Add --enable_batching, or leave the file out.",
            )
        parallelism = self.tensorflow_intra_op_parallelism, self.tensorflow_inter_op_parallelism
        if self.tensorflow_session_parallelism > 0 and min(parallelism) > 0:
            raise ConfigError(
                "The threads of a session are given twice.",
                where="--tensorflow_session_parallelism",
                fix="Leave it out, or --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism.",
            )


def parse_flags(arguments: Sequence[str] | None = None) -> Flags:
    """Reads the command line; --flag=value and --flag value mean the same, a switch alone means true.

    Args:
      arguments: the command line without the program's name; the process's own when not given.

    Raises:
      SystemExit: a flag is unknown or its value is wrong (2), or help or the version was asked for (0).
    """
    parser = argparse.ArgumentParser(
        prog="python -m serving.modelserver",
        description="Serves SavedModels as tensorflow_model_server does, with the same flags.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_versions())
    for item in fields(Flags):
        if item.name == "ignored":
            continue
        name, default = f"--{item.name}", str(item.default).lower() if item.default != "" else "none"
        help = f"{item.metadata['help']} Default: {default}."
        if isinstance(item.default, bool):
            parser.add_argument(name, nargs="?", const=True, default=item.default, type=_boolean, metavar="BOOL", help=help)
        else:
            kind = type(item.default)
            parser.add_argument(name, default=item.default, type=kind, metavar=kind.__name__.upper(), help=help)
    for name in _IGNORED:
        parser.add_argument(f"--{name}", nargs="?", const="true", metavar="VALUE", help="Accepted and ignored.")
    values = vars(parser.parse_args(arguments))
    ignored = tuple(name for name in _IGNORED if values.pop(name) is not None)
    return Flags(**values, ignored=ignored)


def _versions() -> str:
    try:
        ours = version("tfx-conveyor")
    except PackageNotFoundError:
        # The task image has the code, but not as a distribution; its label has the version.
        ours = "not installed"
    return f"Conveyor ModelServer: {ours}, TensorFlow Library: {version('tensorflow')}"


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]
