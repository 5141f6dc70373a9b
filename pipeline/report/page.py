"""Writes the report: sections, each shown by its own template, on one page that needs nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.config import PipelineConfig
from pipeline.report import charts, formats
from pipeline.report.evaluation_view import EvaluationView
from pipeline.report.facts import RunFacts, read_facts
from pipeline.report.lineage import view_lineage
from pipeline.report.model_card import model_card
from pipeline.report.verdict import judge

FILE_NAME = "report.html"


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      name: of the template `<name>.html.j2` and of the anchor.
      title: above the section.
      content: what the template shows.
    """

    name: str
    title: str
    content: Any


def render_page(title: str, sections: Sequence[Section]) -> str:
    """A page of sections, for example of one node.

    Args:
      title: of the page.
      sections: from top to bottom.

    Returns:
      HTML that refers to nothing outside itself.
    """
    return _environment().get_template("page.html.j2").render(title=title, facts=None, sections=_rendered(sections))


def render_report(facts: RunFacts) -> str:
    """The report of a run, as far as the run came.

    Args:
      facts: what is known of the run.

    Returns:
      HTML that refers to nothing outside itself.
    """
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"{facts.config.name} · {facts.outcome.run_id}",
            facts=facts,
            verdict=judge(facts),
            sections=_rendered(sections_of(facts)),
        )
    )


def sections_of(facts: RunFacts) -> list[Section]:
    """The sections that a run has something to say in."""
    sections = [Section("graph", "Pipeline", facts.outcome)]
    if facts.evaluation:
        classes = facts.saved_model.classes if facts.saved_model else ()
        view = EvaluationView(facts.evaluation, facts.config.evaluation.min_slice_rows, classes)
        sections.append(Section("evaluation", "Evaluation", view))
    if facts.training:
        sections.append(Section("training", "Training", facts.training))
    if facts.infra_blessing:
        sections.append(Section("serving", "Serving check", facts.infra_blessing))
    if facts.anomalies:
        sections.append(Section("anomalies", "Anomalies", facts.anomalies))
    if facts.data.sources:
        sections.append(Section("data", "Data", facts.data))
    if facts.statistics:
        times = facts.schema.times if facts.schema else frozenset()
        sections.append(Section("statistics", "Statistics", replace(facts.statistics, times=times)))
    if facts.schema:
        sections.append(Section("schema", "Schema", facts.schema))
    if facts.lineage:
        sections.append(Section("lineage", "Lineage", view_lineage(facts.lineage, facts.outcome.run_id)))
    if facts.model:
        sections.append(Section("model_card", "Model card", model_card(facts)))
    return sections


def write_report(config: PipelineConfig, run_id: str) -> Path:
    """Writes the report of a run into its folder, whole or not at all.

    Args:
      config: the pipeline's configuration.
      run_id: of the run.

    Returns:
      The report's path.

    Raises:
      UsageError: nothing has run in the workspace.
    """
    path = config.runs_path / run_id / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(render_report(read_facts(config, run_id)), encoding="utf-8")
    os.replace(partial, path)
    return path


def _rendered(sections: Sequence[Section]) -> list[tuple[Section, Markup]]:
    environment = _environment()
    return [
        (section, Markup(environment.get_template(f"{section.name}.html.j2").render(content=section.content)))
        for section in sections
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in ("number", "metric", "difference", "percent", "seconds", "moment", "date", "days")
    }
    environment.globals |= {"charts": charts, "Series": charts.Series, "Box": charts.Box}
    return environment
