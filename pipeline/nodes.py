"""The registry of nodes: what each is called, what it makes, and what the report, the dashboard and runs show or set of it.

A new node is an entry here, a component in `components` that the import contracts list, and its wiring in `pipeline.graph`. A
node whose results are properties of its main output needs no other code to show them: it names them in `properties`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BASELINE_KEY = "baseline_model"
"""The Evaluator's input that belongs to another model's history: lineage names it and goes no further."""
HYPERPARAMETERS_KEY = "best_hyperparameters"
"""The Tuner's output. Found in another run, it was found with that run's data: lineage names the search and goes no further."""
BLESSING_KEY = "blessing"
"""The output in which a validator of the model says whether it accepts the model."""


@dataclass(frozen=True)
class Resolution:
    """The choice that a resolver makes among the outputs of earlier runs.

    Attributes:
      output: the resolver's output that another node reads.
      reader: that node's id.
      input: the reader's name for it.
    """

    output: str
    reader: str
    input: str


@dataclass(frozen=True)
class Node:
    """A node of the training pipeline or of the scoring pipeline.

    Attributes:
      id: its name in TFX, in commands and in the report.
      outputs: the outputs that this project reads. The first is the main one, which stands for the node in a lineage.
      sections: the sections of the report that the node's own page has, by their names in `pipeline.report.html.sections`.
      scalars: the numbers by which Kubeflow's dashboard compares runs, by their name in `pipeline.kubeflow.pod.dashboard`.
      properties: properties of the main output, with their titles. The report has a section for them, and the dashboard shows
        those that are numbers.
      parameters: the runtime parameters that are set in this node, by their names in `pipeline.parameters`.
      resolution: what a resolver chooses; None for other nodes.
      is_light: whether its work may need no TensorFlow: that of a resolver, or a curated schema's.
    """

    id: str
    outputs: tuple[str, ...]
    sections: tuple[str, ...] = ()
    scalars: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    resolution: Resolution | None = None
    is_light: bool = False

    @property
    def main_output(self) -> str:
        """The output that stands for what the node did; empty for a node without outputs."""
        return self.outputs[0] if self.outputs else ""


EXAMPLE_GEN = Node("ExampleGen", ("examples",), sections=("data",), scalars="data", parameters=("span",))
STATISTICS_GEN = Node("StatisticsGen", ("statistics",), sections=("statistics",), scalars="statistics")
SCHEMA_GEN = Node("SchemaGen", ("schema",), sections=("schema",), is_light=True)
EXAMPLE_VALIDATOR = Node("ExampleValidator", ("anomalies",), sections=("anomalies",), scalars="anomalies")
TRANSFORM = Node("Transform", ("transform_graph",), sections=("transformation",))
TUNER = Node(
    "Tuner",
    (HYPERPARAMETERS_KEY, "tuner_results"),
    sections=("tuning",),
    scalars="tuning",
    parameters=("steps_per_epoch",),
)
TRAINER = Node(
    "Trainer",
    ("model", "model_run"),
    sections=("training", "model_card"),
    scalars="training",
    parameters=("steps_per_epoch",),
)
EVALUATOR = Node(
    "Evaluator",
    (BLESSING_KEY, "evaluation"),
    sections=("blessing", "evaluation", "importance", "wrong_rows"),
    scalars="evaluation",
)
RESOLVER = Node(
    "Resolver",
    ("model", "model_blessing"),
    sections=("baseline",),
    resolution=Resolution("model", EVALUATOR.id, BASELINE_KEY),
    is_light=True,
)
LATEST_HYPERPARAMETERS = Node(
    "LatestHyperparameters",
    (HYPERPARAMETERS_KEY,),
    sections=("hyperparameters",),
    resolution=Resolution(HYPERPARAMETERS_KEY, TRAINER.id, "hyperparameters"),
    is_light=True,
)
INFRA_VALIDATOR = Node("InfraValidator", (BLESSING_KEY,), sections=("serving",), scalars="serving")
PUSHER = Node(
    "Pusher",
    ("pushed_model",),
    sections=("push", "lineage", "model_card"),
    scalars="push",
    parameters=("push_destination",),
)
BULK_INFERRER = Node("BulkInferrer", ("inference_result",))
PREDICTION_WRITER = Node("PredictionWriter", ())

NODES: Mapping[str, Node] = {
    node.id: node
    for node in (
        EXAMPLE_GEN,
        STATISTICS_GEN,
        SCHEMA_GEN,
        EXAMPLE_VALIDATOR,
        TRANSFORM,
        TUNER,
        LATEST_HYPERPARAMETERS,
        TRAINER,
        RESOLVER,
        EVALUATOR,
        INFRA_VALIDATOR,
        PUSHER,
        BULK_INFERRER,
        PREDICTION_WRITER,
    )
}
"""Every node by its id."""
