"""The sections of a page about a run, or about some of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import nodes
from pipeline.report import formats
from pipeline.report.html.evaluation_view import EvaluationView
from pipeline.report.html.importance_view import ImportanceView
from pipeline.report.html.lineage import LineageView, view_lineage
from pipeline.report.html.wrong_rows_view import WrongRowsView
from pipeline.report.model_card import ModelCard, model_card
from pipeline.report.read.data import Data
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.statistics import Statistics
from pipeline.report.read.tuning import read_hyperparameters
from pipeline.report.verdict import Tone, judge_push, why_blessed, why_not_blessed
from pipeline.runs.metadata import Artifact


@dataclass(frozen=True)
class Statement:
    """Content in a sentence or two, with the details behind it."""

    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      name: the name of the anchor and, unless the content is a statement, of the template.
      title: the heading.
      content: the object that the template shows.
    """

    name: str
    title: str
    content: Any

    @property
    def template(self) -> str:
        """The name of the template that shows it."""
        return "statement" if isinstance(self.content, Statement) else self.name


def sections_of_run(details: RunDetails) -> list[Section]:
    """The sections of a run's report that have content."""
    return [*_sections(_FIRST_OF_RUN, details), *_property_sections(nodes.NODES, details), *_sections(_LAST_OF_RUN, details)]


def sections_of_nodes(details: RunDetails, node_ids: Sequence[str]) -> list[Section]:
    """The sections of some nodes of a run that have content, each once."""
    names = dict.fromkeys(name for node in node_ids if node in nodes.NODES for name in nodes.NODES[node].sections)
    return [*_sections(list(names), details), *_property_sections(node_ids, details)]


def _sections(names: Sequence[str], details: RunDetails) -> list[Section]:
    contents = [(name, *_SECTIONS[name]) for name in names]
    return [Section(name, title, content) for name, title, make in contents if (content := make(details)) is not None]


def _property_sections(node_ids: Iterable[str], details: RunDetails) -> list[Section]:
    """A section for each node that names properties of its main output."""
    sections = []
    for node in (nodes.NODES[node_id] for node_id in node_ids if node_id in nodes.NODES):
        output = details.run.output(node.id, node.main_output) if node.properties else None
        if output is not None:
            values = {title: output.properties.get(name) for name, title in node.properties.items()}
            shown = tuple((title, formats.value(value)) for title, value in values.items() if value is not None)
            sections.append(Section(node.id, node.id, Statement((), shown)))
    return sections


def _evaluation(details: RunDetails) -> EvaluationView | None:
    saved, linear = details.saved_model, details.training.beside_linear if details.training else ""
    if details.evaluation is None:
        return None
    return EvaluationView(
        details.evaluation,
        details.config.evaluation.min_slice_rows,
        saved.classes if saved else (),
        tuple(filter(None, (linear, *((saved.decision, saved.calibrated) if saved else ())))),
    )


def _importance(details: RunDetails) -> ImportanceView | None:
    return ImportanceView(details.importance, _times(details)) if details.importance else None


def _wrong_rows(details: RunDetails) -> WrongRowsView | None:
    if not details.wrong_rows or not details.wrong_rows.rows:
        return None
    important = [each.column for each in details.importance.columns] if details.importance else []
    classes = details.saved_model.classes if details.saved_model else ()
    config = details.config
    hidden = config.gateway.log.exclude
    return WrongRowsView(details.wrong_rows.rows, config.task, classes, tuple(important), hidden, _times(details))


def _times(details: RunDetails) -> frozenset[str]:
    """The columns that are times: by a curated schema's domains, or as the configuration says."""
    configured = {name for name, feature in details.config.features.items() if feature.kind == "time" or feature.parts}
    return frozenset(configured) | (details.schema.times if details.schema else frozenset())


def _blessing(details: RunDetails) -> Statement | None:
    if details.blessed is None:
        return None
    if details.blessed:
        return Statement(("The candidate is blessed.", *why_blessed(details)), tone=Tone.GOOD)
    return Statement(("The candidate is not blessed, so it will not be pushed.", *why_not_blessed(details)), tone=Tone.BAD)


def _data(details: RunDetails) -> Data | None:
    return details.data if details.data.sources else None


def _statistics(details: RunDetails) -> Statistics | None:
    return replace(details.statistics, times=_times(details)) if details.statistics else None


def _lineage(details: RunDetails) -> LineageView | None:
    return view_lineage(details.lineage, details.outcome.run_id) if details.lineage else None


def _model_card(details: RunDetails) -> ModelCard | None:
    return model_card(details) if details.model else None


def _baseline(details: RunDetails) -> Statement | None:
    if not details.run.completed(nodes.RESOLVER.id):
        return None
    model = details.resolved(nodes.RESOLVER.id)
    if model is None:
        return Statement(
            (
                "There is no baseline: no model has been blessed yet.",
                "The candidate is held to the thresholds on its own metrics.",
            )
        )
    version = details.baseline_version
    name = f"version {version}" if version else f"model {model.id}, which has not been pushed"
    sentence = f"The candidate is compared with {name}, the latest blessed model."
    return Statement((sentence,), _origin(details, nodes.RESOLVER.id, model, "Trained"))


def _hyperparameters(details: RunDetails) -> Statement | None:
    if not details.run.completed(nodes.LATEST_HYPERPARAMETERS.id):
        return None
    found = details.resolved(nodes.LATEST_HYPERPARAMETERS.id)
    if found is None:
        return Statement(("No search has been run yet: training uses the hyperparameters of the configuration.",))
    values = tuple((name, formats.value(value)) for name, value in read_hyperparameters(found.path).items())
    sentence = "Training uses the best hyperparameters of the latest search."
    return Statement((sentence,), (*values, *_origin(details, nodes.LATEST_HYPERPARAMETERS.id, found, "Searched")))


def _origin(details: RunDetails, node: str, artifact: Artifact, verb: str) -> tuple[tuple[str, str], ...]:
    maker = details.origins.get(node)
    made = ((verb, formats.moment(maker.ended, zone=True)), ("In run", ", ".join(maker.runs[:1]))) if maker else ()
    return (*made, ("Artifact", f"{artifact.type} {artifact.id}, {artifact.uri}"))


def _push(details: RunDetails) -> Statement | None:
    pushed, model = details.run.output(nodes.PUSHER.id, "pushed_model"), details.run.input(nodes.PUSHER.id, "model")
    if pushed is None:
        return None
    verdict = judge_push(details)
    named = (("Version", "pushed_version"), ("Destination", "pushed_destination"))
    return Statement(
        (f"{verdict.headline}.", *verdict.reasons),
        (
            *((title, str(pushed.properties[name])) for title, name in named if pushed.properties.get(name)),
            *((("Artifact", f"Model {model.id}, {model.uri}"),) if model else ()),
        ),
        verdict.tone,
    )


_SECTIONS: Mapping[str, tuple[str, Callable[[RunDetails], Any]]] = {
    "graph": ("Pipeline", lambda details: details.outcome),
    "evaluation": ("Evaluation", _evaluation),
    "importance": ("What the model relies on", _importance),
    "wrong_rows": ("Rows that are most wrong", _wrong_rows),
    "blessing": ("Verdict", _blessing),
    "training": ("Training", lambda details: details.training),
    "serving": ("Serving check", lambda details: details.infra_blessing),
    "anomalies": ("Anomalies", lambda details: details.anomalies),
    "data": ("Data", _data),
    "statistics": ("Statistics", _statistics),
    "schema": ("Schema", lambda details: details.schema),
    "transformation": ("Transformed features", lambda details: details.transformation),
    "hyperparameters": ("Hyperparameters", _hyperparameters),
    "tuning": ("Search for hyperparameters", lambda details: details.tuning),
    "baseline": ("Baseline", _baseline),
    "push": ("Push", _push),
    "lineage": ("Lineage", _lineage),
    "model_card": ("Model card", _model_card),
}
# The sections of nodes that only name properties stand between the two.
_FIRST_OF_RUN = (
    "graph",
    "evaluation",
    "importance",
    "wrong_rows",
    "training",
    "tuning",
    "serving",
    "anomalies",
    "data",
    "statistics",
    "schema",
)
_LAST_OF_RUN = ("lineage", "model_card")
