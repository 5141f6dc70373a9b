"""The configuration of a pipeline as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from pipeline.config.card import Card
from pipeline.config.consistency import contradictions
from pipeline.config.data import Data, SchemaSource
from pipeline.config.decision import Decision
from pipeline.config.evaluation import Evaluation, InfraValidator, Push
from pipeline.config.events import Events
from pipeline.config.execution import Execution
from pipeline.config.features import Feature, Preprocessing
from pipeline.config.flaws import FlawedError, checked_by
from pipeline.config.gateway import Gateway
from pipeline.config.kubeflow import Kubeflow
from pipeline.config.loop import Loop
from pipeline.config.monitoring import Monitoring
from pipeline.config.prices import Prices
from pipeline.config.section import Section
from pipeline.config.tracking import Tracking
from pipeline.config.training import Model, Task, Training, Tuner
from pipeline.util.paths import expand_home, is_object, require_path

LONGEST_NAME = 57
"""Letters of a pipeline's name. TFX takes 63, the length of a label in Kubernetes, and `conveyor score` adds `-score` to it."""


def _check_workspace(path: str) -> None:
    require_path(path)
    expand_home(path)


def _from_working_directory(path: str, info: ValidationInfo) -> str:
    return str(Path(expand_home(path)).absolute()) if info.context else path


class PipelineConfig(Section):
    """A pipeline: from a table of data to a served model."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=LONGEST_NAME)]
    """The name of the pipeline and of the model it serves: up to 57 lower-case letters, digits and dashes."""
    task: Task = Task.BINARY
    """The kind of prediction."""
    label: Annotated[str, Field(min_length=1)]
    """The column that the model learns to predict."""
    positive_class: str | int | bool | None = None
    """The class of a binary label whose probability the score is. By default the larger number or the word for true; of other
    text the class that at most 40 % of the rows have, or else the last in the alphabet."""
    workspace: Annotated[
        str,
        Field(min_length=1, validate_default=True),
        checked_by(_check_workspace),
        AfterValidator(_from_working_directory),
    ] = ".conveyor"
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
    """The model."""
    training: Training = Training()
    """How the model is trained."""
    tuner: Tuner = Tuner()
    """A search for better settings of the network and the trees."""
    decision: Decision = Decision()
    """From the score of a row to its class, for a label with two classes: the score above which a row is positive, or the aim
    for which that is chosen on the validation rows. One of the fields, and with `aim: cost` the two costs; by default 0.5."""
    evaluation: Evaluation = Evaluation()
    """How the candidate is judged."""
    infra_validator: InfraValidator = InfraValidator()
    """Whether the candidate can be served."""
    push: Push = Push()
    """Where blessed models go."""
    card: Card = Card()
    """What the model card says beside what the run shows."""
    execution: Execution = Execution()
    """How nodes are run on this machine."""
    kubeflow: Kubeflow = Kubeflow()
    """How nodes run as pods on Kubeflow Pipelines."""
    prices: Prices = Prices()
    """What the resources of pods cost."""
    gateway: Gateway = Gateway()
    """The HTTP service that applications call for predictions."""
    monitoring: Monitoring = Monitoring()
    """When what is served has drifted from what the model was trained on."""
    loop: Loop = Loop()
    """When `conveyor loop` runs the pipeline, and how it brings a pushed version into use."""
    tracking: Tracking = Tracking()
    """Where runs are reported, beside the workspace."""
    events: Events = Events()
    """What happens, reported to other programs as CloudEvents, and runs as OpenLineage events."""

    @model_validator(mode="after")
    def _holds_together(self) -> PipelineConfig:
        if flaws := tuple(contradictions(self)):
            raise FlawedError(*flaws)
        return self

    @property
    def workspace_path(self) -> Path:
        """Absolute path of the workspace."""
        return Path(expand_home(self.workspace)).absolute()

    @property
    def metadata_path(self) -> Path:
        """The ML Metadata database (SQLite)."""
        return self.workspace_path / "metadata.sqlite"

    @property
    def scoring_name(self) -> str:
        """The name of the pipeline that scores tables with this one's model."""
        return f"{self.name}-score"

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

    @property
    def unread(self) -> frozenset[str]:
        """The columns that are ignored as features and that nothing else uses or keeps: they are not read from the data."""
        ignored = {name for name, feature in self.features.items() if feature.kind == "ignore"}
        return frozenset(ignored.difference(self.data.keep, self.data.split.columns, self.weights, *self.evaluation.sliced_by))

    @property
    def weights(self) -> tuple[str, ...]:
        """The columns that say how much rows count, in training or in metrics."""
        return tuple(sorted({name for name in (self.training.weight, self.evaluation.weight) if name is not None}))

    def resolve(self, path: str) -> str:
        """A path of the configuration as an absolute path, or an address, placeholders but {SPAN} and {VERSION} replaced."""
        replaced = path.replace("{workspace}", str(self.workspace_path)).replace("{name}", self.name)
        if is_object(replaced):
            return replaced
        return str(Path(expand_home(replaced)).absolute())

    def effective(self) -> dict[str, Any]:
        """Every field with its value, as YAML would hold it."""
        return self.model_dump(mode="json", by_alias=True)
