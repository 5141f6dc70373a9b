"""Beam's command line, as the configuration asks for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.config import Dataflow, PipelineConfig

IN_MEMORY_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

# TFX, unless told of a container image, packs its own sources for remote workers each time it starts a Beam node: seconds, for
# workers that do not exist or have them.
_NO_PACKING = "--sdk_container_image=none"


def beam_arguments(config: PipelineConfig) -> list[str]:
    """Beam's command line.

    Args:
      config: the pipeline's configuration.

    Returns:
      One `--name=value` an option: the runner and what it needs first, then the configuration's own options.

    Raises:
      ConfigError: the runner starts Flink on this machine, and its jar or Java is not there.
    """
    beam = config.execution.beam
    if beam.runner == "dataflow":
        arguments = _dataflow(beam.dataflow)
    elif beam.runner == "spark":
        arguments = _job_server(beam.spark.job_server, beam.spark.worker_pool)
    elif beam.runner == "flink" and beam.flink.job_server_jar is None:
        arguments = [*_job_server(beam.flink.job_server, beam.flink.worker_pool), f"--parallelism={beam.flink.parallelism}"]
    elif beam.runner == "flink":
        arguments = [*_flink_here(config), f"--parallelism={beam.flink.parallelism}"]
    else:
        # In full, since the default would try to download another runner first.
        arguments = [f"--runner={IN_MEMORY_RUNNER}", _NO_PACKING]
    return [*arguments, *beam.options]


def _job_server(address: str | None, worker_pool: str | None) -> list[str]:
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={address}",
        # Not Beam's five minutes: a server that does not answer within one is not there.
        "--job_server_timeout=60",
        "--environment_type=EXTERNAL",
        f"--environment_config={worker_pool}",
        _NO_PACKING,
    ]


def _flink_here(config: PipelineConfig) -> list[str]:
    jar = Path(config.resolve(config.execution.beam.flink.job_server_jar or ""))
    where = "execution.beam.flink.job_server_jar"
    if not jar.is_file():
        raise ConfigError(
            "The jar of Beam's job server for Flink does not exist.",
            where=where,
            seen=str(jar),
            fix="Fetch it as docs/beam.md shows, or set execution.beam.runner to 'direct'.",
        )
    if shutil.which("java") is None:
        raise ConfigError(
            "Flink needs Java, which is not on the path.",
            where=where,
            expected="Java 11 or 17",
            fix="Install it (on Debian: apt-get install default-jre-headless), or set execution.beam.runner to 'direct'.",
        )
    return [
        "--runner=FlinkRunner",
        "--flink_master=[local]",
        f"--flink_job_server_jar={jar}",
        "--environment_type=LOOPBACK",
        _NO_PACKING,
    ]


def _dataflow(dataflow: Dataflow) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={dataflow.project}",
        f"--region={dataflow.region}",
        f"--temp_location={dataflow.temp_location}",
        f"--staging_location={dataflow.staging_location or dataflow.temp_location}",
        f"--sdk_container_image={dataflow.worker_image}",
    ]
