"""The page of a comparison of runs."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.compare.comparison import RunsComparison
from pipeline.report.compare.differences import Section as Differences
from pipeline.report.html.page import render_page, render_template
from pipeline.report.html.sections import Section


@dataclass(frozen=True)
class _DifferencesView:
    """The differences of a section, with the runs that its columns are of."""

    titles: tuple[str, ...]
    differences: Differences


@dataclass(frozen=True)
class _DifferencesSection(Section):
    @property
    def template(self) -> str:
        return "differences"


def render_comparison(comparison: RunsComparison) -> str:
    """The page of a comparison.

    Args:
      comparison: what differs.

    Returns:
      HTML that refers to nothing outside itself.
    """
    titles = tuple(run.title for run in comparison.runs)
    sections = [
        _DifferencesSection(section.name, section.title, _DifferencesView(titles, section)) for section in comparison.sections
    ]
    header = render_template("comparison", comparison=comparison)
    footer = f"Runs of {comparison.pipeline}. This page is complete in itself: it loads nothing."
    return render_page(f"{comparison.pipeline} · {' · '.join(titles)}", header, sections, footer)
