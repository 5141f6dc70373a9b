"""How nodes are run on this machine, and the runner of Apache Beam."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.addresses import HostAndPort
from pipeline.config.section import ConfigPath, Section

_Bucket = Annotated[str, Field(pattern=r"^gs://.+", examples=["gs://bucket/folder"])]


class Flink(Section):
    """Apache Flink. Give `job_server`, or, on a machine with Java, `job_server_jar`."""

    job_server: HostAndPort | None = None
    """Where Beam's job server for Flink answers, as host:port; on the cluster, that of manifests/flink: beam-jobs:8099."""
    job_server_jar: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """A jar of Beam's job server for Flink: each node starts it, and a Flink in it, for as long as it needs them."""
    worker_pool: HostAndPort | None = None
    """job_server: where Flink's task managers find Beam's Python workers, as host:port; localhost:50000 in manifests/flink."""
    parallelism: Annotated[int, Field(ge=1)] = 2
    """How many slots of Flink a node takes."""


class Spark(Section):
    """Apache Spark."""

    job_server: HostAndPort | None = None
    """Required: where Beam's job server for Spark answers, as host:port."""
    worker_pool: HostAndPort | None = None
    """Required: where Spark's executors find Beam's Python workers, as host:port."""


class Dataflow(Section):
    """Google Cloud Dataflow. Its workers must see the workspace under the path that the nodes see it under."""

    project: str | None = None
    """Required: the project that is billed."""
    region: str | None = None
    """Required: where the workers are, such as europe-west1."""
    temp_location: _Bucket | None = None
    """Required: a folder in Cloud Storage for what Dataflow keeps while it works."""
    staging_location: _Bucket | None = None
    """A folder in Cloud Storage for what the workers are sent; temp_location when not given."""
    worker_image: str | None = None
    """Required: the image that the workers run, with this project and Beam's boot program in it."""


class Beam(Section):
    """How Apache Beam runs the nodes that use it: StatisticsGen, Transform and Evaluator."""

    runner: Literal["direct", "flink", "spark", "dataflow"] = "direct"
    """`direct`: in the node's own process. The others spread the work over machines, at the cost of TFX's slower path."""
    flink: Flink = Flink()
    """For the runner `flink`."""
    spark: Spark = Spark()
    """For the runner `spark`."""
    dataflow: Dataflow = Dataflow()
    """For the runner `dataflow`."""
    options: tuple[Annotated[str, Field(pattern=r"^--\w+(=.*)?$", examples=["--name=value"])], ...] = ()
    """Further Beam options, as on its command line: `--name=value`."""

    @model_validator(mode="after")
    def _options_suit_the_runner(self) -> Beam:
        for name in ("flink", "spark", "dataflow"):
            given = getattr(self, name)
            if name != self.runner and given != type(given)():
                raise ValueError(f"options of {name} are given, but runner is '{self.runner}'")
        required = {
            "spark": ("job_server", "worker_pool"),
            "dataflow": ("project", "region", "temp_location", "worker_image"),
        }.get(self.runner, ())
        missing = [f"{self.runner}.{field}" for field in required if getattr(getattr(self, self.runner), field) is None]
        if missing:
            raise ValueError(f"the runner '{self.runner}' needs {' and '.join(missing)}")
        if self.runner == "flink":
            _check_flink(self.flink)
        for option in self.options:
            if option.partition("=")[0] == "--runner":
                raise ValueError(f"options has {option}: a runner is chosen by the field runner")
        return self


class Execution(Section):
    """How nodes are run on this machine."""

    cache: bool = True
    """Reuse the outputs of a node whose inputs, settings and code are the same as before. A node that runs takes over, in any
    case, what earlier runs made of spans with the same content."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Nodes that may run side by side, each in a process of its own."""
    verify: Literal["whole", "sample"] = "whole"
    """How much of stored files is compared with what was made before they are read or taken from the cache: `whole`: all;
    `sample`: names, sizes, the content of small files and of a tenth of the others, where reading is slow."""
    beam: Beam = Beam()
    """How Apache Beam runs the nodes that use it."""


def _check_flink(flink: Flink) -> None:
    if (flink.job_server is None) == (flink.job_server_jar is None):
        raise ValueError("the runner 'flink' needs flink.job_server or flink.job_server_jar, and not both")
    if flink.job_server is not None and flink.worker_pool is None:
        raise ValueError("flink.job_server needs flink.worker_pool: task managers start no Python of their own")
    if flink.job_server_jar is not None and flink.worker_pool is not None:
        raise ValueError("flink.worker_pool goes with flink.job_server: with a jar, Python runs in the node's own process")
