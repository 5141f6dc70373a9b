"""The typed configuration of a pipeline, read from YAML.

Paths in the file are relative to the file's own folder; `{workspace}` at the start of a path stands for the workspace,
`{name}` for the pipeline's name. Every field has a default but the name of the pipeline, its data and its label.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator


class Task(str, Enum):
    """What the model predicts."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


_UserFunction = Annotated[str, Field(pattern=r"^.+\.py:[A-Za-z_]\w*$", examples=["preprocessing.py:preprocessing_fn"])]
# A column, or a crossing of several.
_Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda columns: (columns,) if isinstance(columns, str) else columns, json_schema_input_type=str | tuple[str, ...]
    ),
]


class Split(_Section):
    """How rows are divided into the splits `train` and `eval`."""

    method: Literal["window", "hash"] = "hash"
    """`window`: train on the spans before the newest ones, evaluate on the newest. `hash`: by a hash of each row."""
    train_spans: Annotated[int, Field(ge=1)] = 9
    """window: how many spans before the evaluation spans to train on; fewer are used while fewer exist."""
    eval_spans: Annotated[int, Field(ge=1)] = 1
    """window: how many of the newest spans to evaluate on."""
    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """hash: the share of rows in `eval`, between 0 and 1."""
    spans: Annotated[int, Field(ge=1)] | None = None
    """hash: how many of the newest spans to read; all of them when not given."""


class Data(_Section):
    """Where the rows come from."""

    input: str
    """A file pattern: `*` and `?` as in a shell, `{SPAN}` and optionally `{VERSION}` for numbers in the path, of which
    the newest are read (of each span, its newest version)."""
    format: Literal["auto", "csv", "parquet", "tfrecord"] = "auto"
    """`auto` decides by the file name: .csv, .parquet, .tfrecord, each also with .gz where the format allows it."""
    split: Split = Split()
    """How rows are divided into `train` and `eval`."""
    newest_span: Annotated[int, Field(ge=0)] | None = None
    """Pretend that no span after this one exists: to repeat an earlier run, or to try one span. Newest when not given."""
    compression: Literal["gzip", "none"] = "gzip"
    """Compression of the TFRecord files that ExampleGen writes."""


class SchemaSource(_Section):
    """Where the schema comes from, and what happens to data that breaks it."""

    path: str | None = None
    """A curated schema in protobuf text format (.pbtxt). Inferred from the training data when not given."""
    on_anomaly: Literal["stop", "warn"] = "stop"
    """`stop`: a run whose data breaks the schema ends before training. `warn`: it says so and goes on."""


class Feature(_Section):
    """How one column is prepared. Whatever is not given follows from the schema and the type of the column."""

    kind: Literal["numeric", "categorical", "time", "ignore"] | None = None
    """`time` is for seconds since 1970 (as dates and timestamps are stored); `ignore` leaves the column out of the model."""
    buckets: Annotated[int, Field(ge=2)] | None = None
    """numeric: one-hot quantile buckets of this number instead of a standardised value."""
    vocabulary: Annotated[int, Field(ge=1)] | None = None
    """categorical: the most frequent values that get an index of their own."""
    oov_buckets: Annotated[int, Field(ge=1)] | None = None
    """categorical: hash buckets for values outside the vocabulary."""
    embedding: Annotated[int, Field(ge=1)] | None = None
    """categorical: the width of the embedding; by default it grows with the vocabulary."""
    parts: tuple[Literal["minute_of_hour", "hour_of_day", "day_of_week", "day_of_month", "day_of_year"], ...] | None = None
    """time: the cyclic parts that the model sees, each as sines and cosines; hour_of_day and day_of_week when not given."""

    @model_validator(mode="after")
    def _options_suit_the_kind(self) -> Feature:
        kinds = {
            "buckets": "numeric",
            "vocabulary": "categorical",
            "oov_buckets": "categorical",
            "embedding": "categorical",
            "parts": "time",
        }
        for option, kind in kinds.items():
            if self.kind not in (None, kind) and getattr(self, option) is not None:
                raise ValueError(f"{option} is for columns of kind {kind}, and this one is {self.kind}")
        return self


class Preprocessing(_Section):
    """From raw columns to what the model sees, as a graph that is served with the model."""

    preprocessing_fn: _UserFunction | None = None
    """Your own instead of the derived one: `file.py:function`, called with the raw tensors, as tf.Transform does it."""
    numeric_buckets: Annotated[int, Field(ge=2)] | None = None
    """Bucketise every numeric column into so many quantiles; standardise them when not given."""
    vocabulary: Annotated[int, Field(ge=1)] = 1000
    """The most frequent values of a categorical column that get an index of their own."""
    oov_buckets: Annotated[int, Field(ge=1)] = 1
    """Hash buckets for values outside the vocabulary."""


class Model(_Section):
    """The Keras model."""

    build_model: _UserFunction | None = None
    """Your own instead of the derived one: `file.py:function`; see docs/your-own-code.md for its arguments."""
    numeric_bins: Annotated[int, Field(ge=2)] | None = 16
    """Encode each standardised column piecewise linearly over this many quantile bins; null: take the value as it is."""
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Width of each hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of units dropped after each hidden layer while training."""
    embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a categorical column's embeddings dropped while training."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of embeddings and hidden layers."""


class Training(_Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] = 10
    """Passes over the training split at the most."""
    batch_size: Annotated[int, Field(ge=1)] = 1024
    """Rows a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of the Adam optimiser in the first step; it falls to zero along half a cosine by the last one."""
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Steps an epoch; as many as the training split has batches when not given."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training split held back for early stopping, so that the evaluation split stays unseen. 0: none."""
    patience: Annotated[int, Field(ge=0)] = 2
    """Epochs without a better validation loss before training stops and the best weights are restored. 0: never stop."""
    seed: int = 42
    """Of the weights, the shuffling and the dropout."""


class Tuner(_Section):
    """A search for better hyperparameters, off by default. The best ones found are kept and used by later runs."""

    enabled: bool = False
    """Search in this run."""
    trials: Annotated[int, Field(ge=1)] = 10
    """How many sets of hyperparameters to try."""
    epochs: Annotated[int, Field(ge=1)] = 3
    """Passes over the training split a trial."""
    reuse: bool = True
    """While the tuner is off: train with the best hyperparameters of its last search, if there was one."""


class Threshold(_Section):
    """What a metric must reach for the model to be blessed. At least one bound; all that are given must hold."""

    min: float | None = None
    """The metric's smallest acceptable value."""
    max: float | None = None
    """The metric's largest acceptable value."""
    max_regression: Annotated[float, Field(ge=0)] | None = None
    """How much worse than the baseline, the latest blessed model, the candidate may be (absolute)."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Threshold:
        if self.min is None and self.max is None and self.max_regression is None:
            raise ValueError("a threshold needs at least one of min, max and max_regression")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value lies between min {self.min} and max {self.max}")
        return self


class Evaluation(_Section):
    """How the candidate is judged, overall and slice by slice."""

    slices: tuple[_Columns, ...] = ()
    """Columns whose values divide the evaluation rows, each entry a column or a crossing of columns."""
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    """Bounds by metric: for binary classification auc, accuracy, precision, recall, calibration, loss; for multiclass
    accuracy and loss; for regression mae, mse, rmse. Without any, a model need only be no worse than the baseline."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 100
    """Slices with fewer rows are left out of the report."""


class InfraValidator(_Section):
    """The candidate is loaded and answers real requests before it is pushed."""

    enabled: bool = True
    """Validate at all."""
    runner: Literal["auto", "docker", "process"] = "auto"
    """`docker`: TensorFlow Serving in a container. `process`: a process of its own. `auto`: docker where the image is there."""
    requests: Annotated[int, Field(ge=1)] = 100
    """How many rows of the evaluation split the candidate must answer."""
    timeout_seconds: Annotated[int, Field(ge=1)] = 120
    """Seconds to load and to answer."""
    image: str = "tensorflow/serving:2.20.0"
    """docker: the image that serves."""


class Push(_Section):
    """Where blessed models go."""

    destination: str = "{workspace}/models/{name}"
    """The folder that the model server watches; each push is a numbered folder in it."""


_Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:\d{1,5}$", examples=["localhost:8099"])]
_Bucket = Annotated[str, Field(pattern=r"^gs://.+", examples=["gs://bucket/folder"])]


class Flink(_Section):
    """Apache Flink. Give `job_server`, or, on a machine with Java, `job_server_jar`."""

    job_server: _Address | None = None
    """Where Beam's job server for Flink answers, as host:port; on the cluster, that of manifests/flink: beam-jobs:8099."""
    job_server_jar: str | None = None
    """A jar of Beam's job server for Flink: each node starts it, and a Flink in it, for as long as it needs them."""
    worker_pool: _Address | None = None
    """job_server: where Flink's task managers find Beam's Python workers, as host:port; localhost:50000 in manifests/flink."""
    parallelism: Annotated[int, Field(ge=1)] = 2
    """How many slots of Flink a node takes."""


class Spark(_Section):
    """Apache Spark."""

    job_server: _Address | None = None
    """Required: where Beam's job server for Spark answers, as host:port."""
    worker_pool: _Address | None = None
    """Required: where Spark's executors find Beam's Python workers, as host:port."""


class Dataflow(_Section):
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


class Beam(_Section):
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


def _check_flink(flink: Flink) -> None:
    if (flink.job_server is None) == (flink.job_server_jar is None):
        raise ValueError("the runner 'flink' needs flink.job_server or flink.job_server_jar, and not both")
    if flink.job_server is not None and flink.worker_pool is None:
        raise ValueError("flink.job_server needs flink.worker_pool: task managers start no Python of their own")
    if flink.job_server_jar is not None and flink.worker_pool is not None:
        raise ValueError("flink.worker_pool goes with flink.job_server: with a jar, Python runs in the node's own process")


class Execution(_Section):
    """How nodes are run on this machine."""

    cache: bool = True
    """Reuse the outputs of a node whose inputs, settings and code are the same as before."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Nodes that may run side by side, each in a process of its own."""
    beam: Beam = Beam()
    """How Apache Beam runs the nodes that use it."""


class Toleration(_Section):
    """A taint of cluster nodes that a pod puts up with."""

    key: str
    """Of the taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal`: the taint has this value. `Exists`: it has any."""
    value: str = ""
    """Of the taint; for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """Of the taint."""


# YAML reads 2 as a number.
_Quantity = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if type(given) in (int, float) else given, json_schema_input_type=str | float),
    Field(pattern=r"^\d+(\.\d+)?([kMGTPE]i?|m)?$", examples=["500m", "4Gi"]),
]


class Resources(_Section):
    """What a pod asks of the cluster. Quantities are written as Kubernetes writes them: 500m, 2, 4Gi."""

    cpu_request: _Quantity | None = None
    """Cores that are set aside for the pod."""
    cpu_limit: _Quantity | None = None
    """Cores that it may use at the most; not limited when not given."""
    memory_request: _Quantity | None = None
    """Memory that is set aside for the pod."""
    memory_limit: _Quantity | None = None
    """Memory at which it is killed."""
    accelerator: str | None = None
    """The name of the accelerator as a resource, such as nvidia.com/gpu."""
    accelerator_count: Annotated[int, Field(ge=1)] = 1
    """How many accelerators."""
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    """Seconds after which the pod is ended and its attempt counts as failed."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the cluster's node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the cluster's node may have."""


_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["HTTPS_PROXY"])]


class SecretKey(_Section):
    """A value in a Kubernetes Secret."""

    secret: str
    """The Secret's name, in the namespace of the runs."""
    key: str
    """Which of its values."""


class Retry(_Section):
    """What happens when a pod fails: the node goes on under the same execution."""

    attempts: Annotated[int, Field(ge=0)] = 2
    """How many times to try again; nothing is tried again an hour after the first attempt began, as Kubeflow has it."""
    backoff_seconds: Annotated[int, Field(ge=0)] = 30
    """Seconds before the first new attempt."""
    backoff_factor: Annotated[int, Field(ge=1)] = 2
    """By how much the wait grows with each attempt."""


class Kubeflow(_Section):
    """How nodes run as pods on Kubeflow Pipelines; `conveyor run` takes no notice of it."""

    host: str = "http://localhost:8080"
    """Where the dashboard answers, and with it the API."""
    context: str = "kind-conveyor"
    """The context of kubectl that names the cluster; no command touches another."""
    namespace: str = "kubeflow"
    """Of the runs."""
    experiment: str = "{name}"
    """The experiment that runs are listed under; {name} stands for the pipeline's name."""
    image: str = "conveyor:0.1.0"
    """The task image: `conveyor image build` makes it."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the cluster fetches the image."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets that open the image's registry."""
    volume: str = "conveyor"
    """The PersistentVolumeClaim with data, artifacts and models."""
    mount_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$")] = "/conveyor"
    """Where the volume is mounted in every pod; {workspace} stands for it there."""
    user: Annotated[int, Field(ge=1)] = 1000
    """The user and group id of every pod. One for all, since pods run without the right to write other users' files."""
    metadata: SecretKey = SecretKey(secret="conveyor-metadata", key="url")
    """Where the address of the ML Metadata database is: mysql://USER:PASSWORD@HOST:PORT/DATABASE, or postgresql://."""
    webhook: SecretKey | None = None
    """Where the address is that the outcome of each run is posted to, as JSON."""
    environment: dict[_Variable, SecretKey] = Field(default_factory=dict)
    """Further environment variables of every pod, from Secrets. Names that begin with CONVEYOR_ are taken."""
    retry: Retry = Retry()
    """What happens when a pod fails."""
    resources: Resources = Resources(cpu_request="500m", memory_request="1Gi", memory_limit="4Gi", timeout_seconds=3600)
    """What every pod asks of the cluster."""
    nodes: dict[str, Resources] = Field(default_factory=dict)
    """What the pods of single nodes or groups ask for instead; whatever is not given there is as for every pod."""
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Nodes that share one pod, by the name of the group: each pod costs seconds to start."""

    @model_validator(mode="after")
    def _names_are_free(self) -> Kubeflow:
        if taken := [name for name in self.environment if name.startswith("CONVEYOR_")]:
            raise ValueError(f"environment names {', '.join(taken)}: names that begin with CONVEYOR_ are taken")
        return self

    def resources_of(self, task: str) -> Resources:
        """What the pod of a node or group asks for."""
        own = self.nodes.get(task)
        given = {} if own is None else {field: getattr(own, field) for field in own.model_fields_set}
        return self.resources.model_copy(update=given)


_Model = Annotated[str, Field(pattern=r"^(grpc|https?)://.+/.+", examples=["grpc://localhost:8500/flights"])]
_Rate = Annotated[str, Field(pattern=r"^[1-9]\d*/(second|minute|hour|day)$", examples=["600/minute"])]


class Upstream(_Section):
    """The model servers behind the gateway, each as grpc://HOST:PORT/MODEL or http://HOST:PORT/v1/models/MODEL."""

    stable: _Model = "grpc://localhost:8500/{name}"
    """Serves the stable version; {name} stands for the pipeline's name."""
    canary: _Model | None = None
    """Serves the canary of a rollout, where that has a server of its own; the same as `stable` when not given."""


class Batching(_Section):
    """Rows of requests that come at the same time go to the model server in one call."""

    max_rows: Annotated[int, Field(ge=1)] = 64
    """Of one call; 1: every request is a call of its own."""
    max_wait_ms: Annotated[float, Field(ge=0)] = 5.0
    """Milliseconds that a row waits at the most while another call is under way; without one, it does not wait."""


class Cache(_Section):
    """Predictions that are kept, by model version and row."""

    rows: Annotated[int, Field(ge=0)] = 10_000
    """How many the process keeps; 0: none. Redis has a limit of its own."""
    redis: Annotated[str, Field(pattern=r"^rediss?://[^@]+$", examples=["redis://redis:6379/0"])] | None = None
    """Keep them in this Redis instead, where all gateways find them, and count requests there for rate limits. The password, if
    it has one, is in the environment variable CONVEYOR_REDIS_PASSWORD."""
    redis_seconds: Annotated[int, Field(ge=1)] = 3600
    """redis: how long one is kept."""


class ApiKey(_Section):
    """A key that lets a caller in; `conveyor gateway key` makes one."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """The key's hash. The key itself is kept by the caller alone."""
    rate_limit: _Rate | None = None
    """Of this caller; that of the gateway when not given."""


class Oidc(_Section):
    """Tokens of an OpenID Connect provider."""

    issuer: Annotated[str, Field(pattern=r"^https?://.+", examples=["https://login.example.com/realms/main"])]
    """The provider's address, as its tokens have it in `iss`."""
    audience: str
    """What the tokens have in `aud`."""
    jwks_url: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    """Where the provider's keys are; asked of the provider when not given."""


class Access(_Section):
    """Who may call. Without keys and without a provider: everybody."""

    api_keys: dict[str, ApiKey] = Field(default_factory=dict)
    """By the caller's name; sent as `X-API-Key: KEY`."""
    oidc: Oidc | None = None
    """Tokens sent as `Authorization: Bearer TOKEN`."""
    rate_limit: _Rate | None = None
    """Requests for predictions of each caller, such as 600/minute; not limited when not given."""


class PredictionLog(_Section):
    """Rows with their predictions, as Parquet files in a folder for each day."""

    folder: str | None = "{workspace}/predictions/{name}"
    """Where they are written; null: nowhere."""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of rows that is logged."""
    exclude: tuple[str, ...] = ()
    """Features that are left out, such as personal ones."""
    flush_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How old a row gets at the most before its file is written."""


class Gateway(_Section):
    """What applications call: HTTP before the model server, with a page that shows the model's features."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0: all of the machine's."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8088
    """The port to listen on; 0: any that is free."""
    upstream: Upstream = Upstream()
    """The model servers behind it."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long the model server may take for a request, with all attempts."""
    rollout: str | None = "{workspace}/serving/{name}/rollout.json"
    """The state of the rollout, which says how much traffic the canary gets; watched. No such file: no rollout."""
    split_by: str | None = None
    """The feature whose value decides between stable and canary, for example a customer's id; the request id when not given."""
    feature_schema: str | None = None
    """A TFX schema (.pbtxt) with what features may be: what it requires and its ranges hold for requests, too. The pipeline's
    curated one (schema.path) when not given; types alone where there is none."""
    enforce_domains: bool = True
    """Refuse values outside the schema's ranges and lists; if not, the page shows them, and the model decides."""
    example: dict[str, int | float | str] = Field(default_factory=dict)
    """The row that the page shows, by feature; whatever is required and not given here is made up from the schema."""
    max_rows: Annotated[int, Field(ge=1)] = 1000
    """Of one request."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 1_048_576
    """Of one request."""
    batching: Batching = Batching()
    """Requests that come at the same time."""
    cache: Cache = Cache()
    """Predictions that are kept."""
    access: Access = Access()
    """Who may call, and how often."""
    log: PredictionLog = PredictionLog()
    """What is written down for later checks of the data."""


class PipelineConfig(_Section):
    """A pipeline: from a table of data to a served model."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """Of the pipeline and of the model it serves: lower-case letters, digits and dashes."""
    task: Task = Task.BINARY
    """What the model predicts."""
    label: str
    """The column that the model learns to predict."""
    workspace: str = ".conveyor"
    """Where everything a run makes is kept. The one path that is relative to the working directory."""
    data: Data
    """Where the rows come from."""
    # "schema" is a method of BaseModel, hence the alias.
    schema_source: SchemaSource = Field(default=SchemaSource(), alias="schema")
    """Where the schema comes from, and what happens to data that breaks it."""
    features: dict[str, Feature] = Field(default_factory=dict)
    """How single columns are prepared, by name; the others are derived from the schema."""
    preprocessing: Preprocessing = Preprocessing()
    """From raw columns to what the model sees."""
    model: Model = Model()
    """The Keras model."""
    training: Training = Training()
    """How the model is trained."""
    tuner: Tuner = Tuner()
    """A search for better hyperparameters."""
    evaluation: Evaluation = Evaluation()
    """How the candidate is judged."""
    infra_validator: InfraValidator = InfraValidator()
    """Whether the candidate can be served."""
    push: Push = Push()
    """Where blessed models go."""
    execution: Execution = Execution()
    """How nodes are run on this machine."""
    kubeflow: Kubeflow = Kubeflow()
    """How nodes run as pods on Kubeflow Pipelines."""
    gateway: Gateway = Gateway()
    """What applications call for predictions."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    def model_post_init(self, context: Any) -> None:
        """Takes the folder that paths are relative to from the validation context, where `load_config` puts it."""
        if context:
            self._folder = context["folder"]

    @model_validator(mode="after")
    def _holds_together(self) -> PipelineConfig:
        if self.data.split.method == "window" and "{SPAN}" not in self.data.input:
            raise ValueError("data.split.method 'window' divides rows by span, so data.input must contain {SPAN}")
        if "{VERSION}" in self.data.input and "{SPAN}" not in self.data.input:
            raise ValueError("data.input has {VERSION} without {SPAN}: a version is a version of a span")
        if self.label in self.features:
            raise ValueError(f"features names {self.label}, the label: what the model predicts is not one of its inputs")
        return self

    @property
    def workspace_path(self) -> Path:
        """Absolute path of the workspace."""
        return Path(self.workspace).absolute()

    @property
    def metadata_path(self) -> Path:
        """The ML Metadata database (SQLite)."""
        return self.workspace_path / "metadata.sqlite"

    @property
    def artifacts_path(self) -> Path:
        """The TFX pipeline root."""
        return self.workspace_path / "artifacts" / self.name

    @property
    def runs_path(self) -> Path:
        """One folder a run: logs by node, the outcome (run.json) and the report (report.html)."""
        return self.workspace_path / "runs" / self.name

    @property
    def serving_path(self) -> Path:
        """The folder that the model server watches."""
        return Path(self.resolve(self.push.destination))

    def resolve(self, path: str) -> str:
        """A path of the configuration as an absolute path, placeholders but {SPAN} and {VERSION} replaced."""
        expanded = path.replace("{workspace}", str(self.workspace_path)).replace("{name}", self.name)
        return str(self._folder / expanded)

    def effective(self) -> dict[str, Any]:
        """Every field with its value, as YAML would hold it."""
        return self.model_dump(mode="json", by_alias=True)
