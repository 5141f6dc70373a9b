"""Which Beam options a configuration may give, and the command line that Beam gets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    WorkerOptions,
)

from components.shared.fast_executor import distributed_runner
from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError, NodeError
from pipeline.runs.beam import beam_arguments

FLINK = {"job_server": "beam-jobs:8099", "worker_pool": "localhost:50000"}
DATAFLOW = {
    "project": "demo",
    "region": "europe-west1",
    "temp_location": "gs://demo/temp",
    "worker_image": "registry.example/conveyor-beam:1",
}
SPARK = {"job_server": "spark-jobs:8099", "worker_pool": "localhost:50000"}


def config(folder: Path, **beam: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"name": "houses", "label": "price", "data": {"input": "a.csv"}, "execution": {"beam": beam}},
        context={"folder": folder},
    )


def options(folder: Path, **beam: Any) -> PipelineOptions:
    return PipelineOptions(beam_arguments(config(folder, **beam)))


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A jar and a `java` that only look like it."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(java.parent))
    jar = tmp_path / "job-server.jar"
    jar.touch()
    return jar


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        ({"runner": "flink"}, "needs flink.job_server or flink.job_server_jar"),
        ({"runner": "flink", "flink": {**FLINK, "job_server_jar": "a.jar"}}, "and not both"),
        ({"runner": "flink", "flink": {"job_server": "beam-jobs:8099"}}, "needs flink.worker_pool"),
        (
            {"runner": "flink", "flink": {"job_server_jar": "a.jar", "worker_pool": "localhost:50000"}},
            "goes with flink.job_server",
        ),
        ({"runner": "spark"}, "needs spark.job_server and spark.worker_pool"),
        ({"runner": "spark", "spark": {"job_server": "spark-jobs:8099"}}, "needs spark.worker_pool"),
        (
            {"runner": "dataflow", "dataflow": {"project": "demo", "region": "europe-west1"}},
            "temp_location and dataflow.worker",
        ),
        ({"flink": FLINK}, "options of flink are given, but runner is 'direct'"),
        ({"runner": "flink", "flink": FLINK, "dataflow": {"project": "demo"}}, "options of dataflow are given"),
        ({"options": ["--runner=DirectRunner"]}, "a runner is chosen by the field runner"),
    ],
)
def test_what_does_not_suit_the_runner_is_refused(tmp_path: Path, beam: dict[str, Any], message: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"name: houses\nlabel: price\ndata: {{input: a.csv}}\nexecution:\n  beam: {beam}\n")

    with pytest.raises(ConfigError) as error:
        load_config(path)

    assert message in error.value.what
    assert error.value.what.startswith("execution.beam: ")
    assert error.value.where.endswith("line 5")


@pytest.mark.parametrize(
    "beam",
    [
        {"runner": "slurm"},
        {"runner": "flink", "flink": {**FLINK, "job_server": "beam-jobs"}},
        {"runner": "flink", "flink": {**FLINK, "job_server": "http://beam-jobs:8099"}},
        {"runner": "flink", "flink": {**FLINK, "parallelism": 0}},
        {"runner": "dataflow", "dataflow": {**DATAFLOW, "temp_location": "/tmp"}},
        {"options": ["parallelism=3"]},
    ],
)
def test_a_malformed_value_is_refused(tmp_path: Path, beam: dict[str, Any]) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"name: houses\nlabel: price\ndata: {{input: a.csv}}\nexecution:\n  beam: {beam}\n")

    with pytest.raises(ConfigError, match="has a value that it cannot have"):
        load_config(path)


def test_options_survive_the_way_through_the_effective_configuration(tmp_path: Path) -> None:
    loaded = config(tmp_path, runner="flink", flink=FLINK)

    assert PipelineConfig.model_validate(loaded.effective()).execution == loaded.execution


def test_direct_stays_in_the_process(tmp_path: Path) -> None:
    assert distributed_runner(beam_arguments(config(tmp_path))) is None


@pytest.mark.parametrize("runner", [None, "DirectRunner", "apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
def test_runners_of_one_machine(runner: str | None) -> None:
    assert distributed_runner([f"--runner={runner}"] if runner else None) is None


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner", "DataflowRunner", "apache_beam.runners.PortableRunner"])
def test_runners_of_many_machines(runner: str) -> None:
    assert distributed_runner([f"--runner={runner}"]) == runner


def test_a_job_server_is_looked_for_before_it_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        arguments = beam_arguments(config(tmp_path, runner="flink", flink={**FLINK, "job_server": address}))
        assert distributed_runner(arguments) == "PortableRunner"

    with pytest.raises(NodeError, match="job server does not answer") as error:
        distributed_runner(arguments)

    assert error.value.where == address


def test_flink_on_a_cluster_is_a_job_server_and_a_worker_pool(tmp_path: Path) -> None:
    given = options(tmp_path, runner="flink", flink={**FLINK, "parallelism": 8})

    assert given.view_as(StandardOptions).runner == "PortableRunner"
    assert given.view_as(PortableOptions).job_endpoint == "beam-jobs:8099"
    assert given.view_as(PortableOptions).environment_type == "EXTERNAL"
    assert given.view_as(PortableOptions).environment_config == "localhost:50000"
    assert given.view_as(FlinkRunnerOptions).parallelism == 8


def test_flink_on_a_laptop_is_a_jar(tmp_path: Path, jar: Path) -> None:
    given = options(tmp_path, runner="flink", flink={"job_server_jar": jar.name})

    assert given.view_as(StandardOptions).runner == "FlinkRunner"
    assert given.view_as(FlinkRunnerOptions).flink_job_server_jar == str(jar)
    assert given.view_as(FlinkRunnerOptions).flink_master == "[local]"
    assert given.view_as(PortableOptions).environment_type == "LOOPBACK"


def test_a_jar_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jar of Beam's job server") as error:
        beam_arguments(config(tmp_path, runner="flink", flink={"job_server_jar": "none.jar"}))

    assert error.value.seen == str(tmp_path / "none.jar")


def test_a_jar_needs_java(tmp_path: Path, jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="Flink needs Java"):
        beam_arguments(config(tmp_path, runner="flink", flink={"job_server_jar": jar.name}))


def test_spark_is_a_job_server_and_a_worker_pool(tmp_path: Path) -> None:
    given = options(tmp_path, runner="spark", spark=SPARK)

    assert given.view_as(StandardOptions).runner == "PortableRunner"
    assert given.view_as(PortableOptions).job_endpoint == "spark-jobs:8099"
    assert given.view_as(PortableOptions).environment_config == "localhost:50000"


def test_dataflow_stages_where_it_keeps_temporary_files(tmp_path: Path) -> None:
    given = options(tmp_path, runner="dataflow", dataflow=DATAFLOW)

    assert given.view_as(StandardOptions).runner == "DataflowRunner"
    assert given.view_as(GoogleCloudOptions).project == "demo"
    assert given.view_as(GoogleCloudOptions).region == "europe-west1"
    assert given.view_as(GoogleCloudOptions).temp_location == "gs://demo/temp"
    assert given.view_as(GoogleCloudOptions).staging_location == "gs://demo/temp"
    assert given.view_as(WorkerOptions).sdk_container_image == "registry.example/conveyor-beam:1"


def test_own_options_come_last_and_win(tmp_path: Path) -> None:
    given = options(tmp_path, runner="flink", flink=FLINK, options=["--environment_type=DOCKER"])

    assert given.view_as(PortableOptions).environment_type == "DOCKER"
    assert given.view_as(StandardOptions).runner == "PortableRunner"
