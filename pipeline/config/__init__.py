"""The typed configuration of a pipeline, read from YAML.

Paths in the file are relative to the file's own folder; `{workspace}` at the start of a path stands for the workspace,
`{name}` for the pipeline's name. Every field has a default but the name of the pipeline, its data and its label.
"""

from pipeline.config.auth import Auth
from pipeline.config.data import ColumnType, Csv, Data, DateOrder, SchemaSource
from pipeline.config.decision import Decision
from pipeline.config.evaluation import Evaluation, InfraValidator, Push, Threshold
from pipeline.config.execution import Beam, Dataflow, Execution, Flink, Spark
from pipeline.config.features import Feature, Preprocessing
from pipeline.config.gateway import Access, ApiKey, Batching, Cache, Gateway, Oidc, PredictionLog, Upstream
from pipeline.config.kubeflow import Kubeflow, Resources, Retry, SecretKey, Toleration
from pipeline.config.loop import Loop
from pipeline.config.monitoring import Monitoring
from pipeline.config.pipeline import PipelineConfig
from pipeline.config.split import Split
from pipeline.config.tracking import Mlflow, Tracking
from pipeline.config.training import Growth, Model, Task, Training, Tuner

__all__ = [
    "Access",
    "ApiKey",
    "Auth",
    "Batching",
    "Beam",
    "Cache",
    "ColumnType",
    "Csv",
    "Data",
    "Dataflow",
    "DateOrder",
    "Decision",
    "Evaluation",
    "Execution",
    "Feature",
    "Flink",
    "Gateway",
    "Growth",
    "InfraValidator",
    "Kubeflow",
    "Loop",
    "Mlflow",
    "Model",
    "Monitoring",
    "Oidc",
    "PipelineConfig",
    "PredictionLog",
    "Preprocessing",
    "Push",
    "Resources",
    "Retry",
    "SchemaSource",
    "SecretKey",
    "Spark",
    "Split",
    "Task",
    "Threshold",
    "Toleration",
    "Tracking",
    "Training",
    "Tuner",
    "Upstream",
]
