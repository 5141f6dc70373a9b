"""The parameters of a run, and its package on the server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig
    from pipeline.kubeflow.client import KubeflowClient, PipelineVersion
    from pipeline.parameters import Value


def given_parameters(config: PipelineConfig, given: Sequence[str]) -> dict[str, Value]:
    """The parameters of a run that are set on the command line.

    Args:
      config: the pipeline's configuration.
      given: `name=value` for each.

    Raises:
      UsageError: there is no such parameter, or it cannot have this value.
      ConfigError: the configuration names files that pods cannot reach.
    """
    from pipeline.kubeflow.pod_config import in_cluster
    from pipeline.parameters import checked

    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                "A parameter is given as NAME=VALUE.", where="--parameter", seen=text, fix=f"Write: --parameter {text}=VALUE"
            )
        values[name.strip()] = value
    known = checked(in_cluster(config), values)
    return {name: known[name] for name in values}


def compile_apart(config: PipelineConfig) -> str:
    """Compiles a pipeline in a process of its own, which takes the memory of TFX with it when it ends: about a gigabyte.

    Args:
      config: the pipeline's configuration.

    Returns:
      The package, as `compile_package` returns it.

    Raises:
      ConfigError: as `compile_package` does.
    """
    from pipeline.kubeflow.compile import compile_package

    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(compile_package, config).result()


def compile_and_upload(client: KubeflowClient, console: Console) -> PipelineVersion:
    """Compiles the pipeline of a client's configuration and uploads it, unless the server has it already.

    Args:
      client: the client of the pipeline.
      console: where progress is shown.

    Raises:
      ConveyorError: the cluster is not ready, or the configuration cannot be compiled for it.
    """
    from pipeline.cluster.preflight import require_cluster

    with console.status("checking the cluster"):
        require_cluster(client.config)
        # Compiling takes seconds, so a server that does not answer is found first.
        client.pipeline_id()
    with console.status("compiling (loading TFX takes some seconds)"):
        package = compile_apart(client.config)
    version = client.upload(package)
    console.print(f"Package {version.name}: {'uploaded' if version.is_new else 'on the server already'}.")
    return version
