"""The parts of a page: what a run, or a single node of it, has to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import nodes
from pipeline.report import formats
from pipeline.report.html.evaluation_view import EvaluationView
from pipeline.report.html.lineage import LineageView, view_lineage
from pipeline.report.html.model_card import ModelCard, model_card
from pipeline.report.read.data import Data
from pipeline.report.read.run_details import RunFacts
from pipeline.report.read.statistics import Statistics
from pipeline.report.read.tuning import read_hyperparameters
from pipeline.report.verdict import Tone, judge_push, why_blessed, why_not_blessed
from pipeline.runs.metadata import Artifact


@dataclass(frozen=True)
class Statement:
    """Something that is said in a sentence or two, and the facts behind it."""

    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      name: of the anchor, and of the template of what is no statement.
      title: above the section.
      content: what the template shows.
    """

    name: str
    title: str
    content: Any

    @property
    def template(self) -> str:
        """The name of the template that shows it."""
        return "statement" if isinstance(self.content, Statement) else self.name


def sections_of_run(facts: RunFacts) -> list[Section]:
    """The sections that a run has something to say in."""
    return [*_sections(_FIRST_OF_RUN, facts), *_property_sections(nodes.NODES, facts), *_sections(_LAST_OF_RUN, facts)]


def sections_of_nodes(facts: RunFacts, node_ids: Sequence[str]) -> list[Section]:
    """The sections that nodes of a run have something to say in, each once."""
    names = dict.fromkeys(name for node in node_ids if node in nodes.NODES for name in nodes.NODES[node].sections)
    return [*_sections(list(names), facts), *_property_sections(node_ids, facts)]


def _sections(names: Sequence[str], facts: RunFacts) -> list[Section]:
    contents = [(name, *_SECTIONS[name]) for name in names]
    return [Section(name, title, content) for name, title, make in contents if (content := make(facts)) is not None]


def _property_sections(node_ids: Iterable[str], facts: RunFacts) -> list[Section]:
    """A section for each node that names properties of its main output."""
    sections = []
    for node in (nodes.NODES[node_id] for node_id in node_ids if node_id in nodes.NODES):
        output = facts.run.output(node.id, node.main_output) if node.properties else None
        if output is not None:
            values = {title: output.properties.get(name) for name, title in node.properties.items()}
            shown = tuple((title, formats.value(value)) for title, value in values.items() if value is not None)
            sections.append(Section(node.id, node.id, Statement((), shown)))
    return sections


def _evaluation(facts: RunFacts) -> EvaluationView | None:
    classes = facts.saved_model.classes if facts.saved_model else ()
    if facts.evaluation is None:
        return None
    return EvaluationView(facts.evaluation, facts.config.evaluation.min_slice_rows, classes)


def _blessing(facts: RunFacts) -> Statement | None:
    if facts.blessed is None:
        return None
    if facts.blessed:
        return Statement(("The candidate is blessed.", *why_blessed(facts)), tone=Tone.GOOD)
    return Statement(("The candidate is not blessed, so it will not be pushed.", *why_not_blessed(facts)), tone=Tone.BAD)


def _data(facts: RunFacts) -> Data | None:
    return facts.data if facts.data.sources else None


def _statistics(facts: RunFacts) -> Statistics | None:
    if facts.statistics is None or facts.schema is None:
        return facts.statistics
    return replace(facts.statistics, times=facts.schema.times)


def _lineage(facts: RunFacts) -> LineageView | None:
    return view_lineage(facts.lineage, facts.outcome.run_id) if facts.lineage else None


def _model_card(facts: RunFacts) -> ModelCard | None:
    return model_card(facts) if facts.model else None


def _baseline(facts: RunFacts) -> Statement | None:
    if not facts.run.completed(nodes.RESOLVER.id):
        return None
    model = facts.resolved(nodes.RESOLVER.id)
    if model is None:
        return Statement(
            (
                "There is no baseline: no model has been blessed yet.",
                "The candidate is held to the thresholds on its own metrics.",
            )
        )
    version = facts.baseline_version
    name = f"version {version}" if version else f"model {model.id}, which has not been pushed"
    sentence = f"The candidate is compared with {name}, the latest blessed model."
    return Statement((sentence,), _origin(facts, nodes.RESOLVER.id, model, "Trained"))


def _hyperparameters(facts: RunFacts) -> Statement | None:
    if not facts.run.completed(nodes.LATEST_HYPERPARAMETERS.id):
        return None
    found = facts.resolved(nodes.LATEST_HYPERPARAMETERS.id)
    if found is None:
        return Statement(("No search has been run yet: training uses the hyperparameters of the configuration.",))
    values = tuple((name, formats.value(value)) for name, value in read_hyperparameters(found.path).items())
    sentence = "Training uses the best hyperparameters of the latest search."
    return Statement((sentence,), (*values, *_origin(facts, nodes.LATEST_HYPERPARAMETERS.id, found, "Searched")))


def _origin(facts: RunFacts, node: str, artifact: Artifact, verb: str) -> tuple[tuple[str, str], ...]:
    maker = facts.origins.get(node)
    made = ((verb, formats.moment(maker.ended, zone=True)), ("In run", ", ".join(maker.runs[:1]))) if maker else ()
    return (*made, ("Artifact", f"{artifact.type} {artifact.id}, {artifact.uri}"))


def _push(facts: RunFacts) -> Statement | None:
    pushed, model = facts.run.output(nodes.PUSHER.id, "pushed_model"), facts.run.input(nodes.PUSHER.id, "model")
    if pushed is None:
        return None
    verdict = judge_push(facts)
    named = (("Version", "pushed_version"), ("Destination", "pushed_destination"))
    return Statement(
        (f"{verdict.headline}.", *verdict.reasons),
        (
            *((title, str(pushed.properties[name])) for title, name in named if pushed.properties.get(name)),
            *((("Artifact", f"Model {model.id}, {model.uri}"),) if model else ()),
        ),
        verdict.tone,
    )


_SECTIONS: Mapping[str, tuple[str, Callable[[RunFacts], Any]]] = {
    "graph": ("Pipeline", lambda facts: facts.outcome),
    "evaluation": ("Evaluation", _evaluation),
    "blessing": ("Verdict", _blessing),
    "training": ("Training", lambda facts: facts.training),
    "serving": ("Serving check", lambda facts: facts.infra_blessing),
    "anomalies": ("Anomalies", lambda facts: facts.anomalies),
    "data": ("Data", _data),
    "statistics": ("Statistics", _statistics),
    "schema": ("Schema", lambda facts: facts.schema),
    "transformation": ("Transformed features", lambda facts: facts.transformation),
    "hyperparameters": ("Hyperparameters", _hyperparameters),
    "tuning": ("Search for hyperparameters", lambda facts: facts.search),
    "baseline": ("Baseline", _baseline),
    "push": ("Push", _push),
    "lineage": ("Lineage", _lineage),
    "model_card": ("Model card", _model_card),
}
# The sections of nodes that only name properties stand between the two.
_FIRST_OF_RUN = ("graph", "evaluation", "training", "serving", "anomalies", "data", "statistics", "schema")
_LAST_OF_RUN = ("lineage", "model_card")
