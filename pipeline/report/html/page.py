"""Writes the report: sections, each shown by its own template, on one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.config import PipelineConfig
from pipeline.report import formats
from pipeline.report.card_files import write_model_card
from pipeline.report.html import charts
from pipeline.report.html.sections import Section, sections_of_nodes, sections_of_run
from pipeline.report.read.run_details import RunDetails, read_run_details
from pipeline.report.verdict import judge
from pipeline.util import files

FILE_NAME = "report.html"


def render_nodes(details: RunDetails, node_ids: Sequence[str]) -> str:
    """A page of some nodes of a run, to be shown within another page.

    Args:
      details: what is known of the run so far.
      node_ids: the nodes, in the order in which they are shown.

    Returns:
      HTML that refers to nothing outside itself.
    """
    executions = {node: details.run.executions.get(node) for node in node_ids}
    header = render_template("nodes", details=details, executions=executions)
    sections = sections_of_nodes(details, node_ids)
    title = f"{', '.join(node_ids)} · {details.config.name}"
    return render_page(title, header, sections, embedded=True)


def render_report(details: RunDetails, *, embedded: bool = False) -> str:
    """The report of a run, as far as the run came.

    Args:
      details: what is known of the run.
      embedded: to be shown within another page.

    Returns:
      HTML that refers to nothing outside itself.
    """
    header = render_template("header", details=details, verdict=judge(details))
    footer = f"Run {details.outcome.run_id} of {details.config.name}. This page is complete in itself: it loads nothing."
    title = f"{details.config.name} · {details.outcome.run_id}"
    return render_page(title, header, sections_of_run(details), footer, embedded=embedded)


def write_report(config: PipelineConfig, run_id: str) -> Path:
    """Writes the report of a run into its folder, whole or not at all, and the model card beside it and beside the model.

    Args:
      config: the pipeline's configuration.
      run_id: the run's id.

    Returns:
      The report's path.

    Raises:
      UsageError: nothing has run in the workspace.
      OSError: a file cannot be written.
    """
    path = config.runs_path / run_id / FILE_NAME
    details = read_run_details(config, run_id)
    files.write(path, render_report(details))
    write_model_card(details)
    return path


def render_template(name: str, **values: object) -> str:
    """A part of a page, from the template with this name."""
    return _environment().get_template(f"{name}.html.j2").render(**values)


def render_page(title: str, header: str, sections: Sequence[Section], footer: str = "", *, embedded: bool = False) -> str:
    """A page; an embedded one is white, as what is around it, and has no links, which would lead the frame away from it.

    Args:
      title: the page's title.
      header: what stands above the sections, as HTML.
      sections: the sections.
      footer: what stands below them, as text.
      embedded: to be shown within another page.
    """
    environment = _environment()
    rendered = [
        (section, Markup(environment.get_template(f"{section.template}.html.j2").render(content=section.content)))
        for section in sections
    ]
    return environment.get_template("page.html.j2").render(
        title=title, header=Markup(header), sections=rendered, footer=footer, embedded=embedded
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in (
            "number",
            "value",
            "metric",
            "difference",
            "percent",
            "seconds",
            "moment",
            "date",
            "time",
            "days",
            "age",
            "ranges",
        )
    }
    environment.globals |= {"charts": charts, "Series": charts.Series, "Box": charts.Box}
    return environment
