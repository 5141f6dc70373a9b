"""The page of a look at what is served."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contracts.prediction_log import LABEL, SCORE, VALUE
from pipeline.monitoring.comparison import DISTRIBUTION, UNSEEN, Check, ColumnComparison
from pipeline.monitoring.look import Look
from pipeline.report.html.charts import Series
from pipeline.report.html.page import render_page, render_template
from pipeline.report.html.sections import Section

_MOST_TRENDS = 6
_TITLES = {LABEL: "Predicted class", SCORE: "Score", VALUE: "Prediction"}


@dataclass(frozen=True)
class ComparedView:
    """Columns beside the reference."""

    reference: str
    current: str
    columns: Sequence[ColumnComparison]

    def title(self, column: ColumnComparison) -> str:
        """The column's name; that of a prediction in words."""
        return _TITLES.get(column.name, column.name)

    def distribution(self, column: ColumnComparison) -> Check | None:
        """How far its values are from the reference."""
        return column.check(DISTRIBUTION)

    def unseen(self, column: ColumnComparison) -> Check | None:
        """How many of its values the reference does not have."""
        return column.check(UNSEEN)

    def reasons(self, column: ColumnComparison) -> str:
        """Which of its figures are drift, in words."""
        words = {"distribution": "values", "missing": "missing values", "unseen": "unseen values"}
        return ", ".join(words[check.kind] for check in column.checks if check.is_drift)

    def histograms(self, column: ColumnComparison) -> list[list[tuple[float, float, float]]]:
        """The bins of numbers, in the reference and now."""
        drawn = column.distribution
        if drawn is None or not drawn.edges:
            return []
        ends = list(zip(drawn.edges, drawn.edges[1:], strict=False))
        return [
            [(low, high, share) for (low, high), share in zip(ends, shares, strict=True)]
            for shares in (drawn.reference, drawn.current)
        ]

    def values(self, column: ColumnComparison) -> list[tuple[str, float, float, float]]:
        """The most frequent values, with their shares, and the length of a bar for all of them, from 0 to 100."""
        drawn = column.distribution
        if drawn is None or not drawn.names:
            return []
        scale = 100 / (max(*drawn.reference, *drawn.current) or 1)
        return [
            (name, before, after, scale)
            for name, before, after in zip(drawn.names, drawn.reference, drawn.current, strict=True)
        ]


@dataclass(frozen=True)
class TrendView:
    """How far columns are from the reference, day by day."""

    charts: Sequence[tuple[str, Sequence[Series]]]
    first: str
    last: str


def render_look(look: Look) -> str:
    """The page of a look at what is served.

    Args:
      look: what was seen.

    Returns:
      HTML that refers to nothing outside itself.
    """
    sections = [Section("drift", "Features", ComparedView(look.reference.title, look.current.title, look.columns))]
    if look.predictions:
        title = "the rows it was judged on"
        sections.append(Section("predictions", "Predictions", ComparedView(title, look.current.title, look.predictions)))
    if len(look.days) > 1:
        sections.append(Section("trend", "Day by day", _trend(look)))
    if look.traffic:
        sections.append(Section("traffic", "Traffic", look.traffic))
    if look.anomalies:
        sections.append(Section("breaches", "Schema", look))
    header = render_template("monitoring", look=look)
    footer = f"Version {look.version} of {look.name}. This page is complete in itself: it loads nothing."
    return render_page(f"{look.name} · version {look.version} · monitoring", header, sections, footer)


def _trend(look: Look) -> TrendView:
    first = datetime.date.fromisoformat(look.days[0].date)
    days = [((datetime.date.fromisoformat(each.date) - first).days, each) for each in look.days]
    names = [each.name for each in look.columns if any(each.name in day.distances for day in look.days)][:_MOST_TRENDS]
    charts: list[tuple[str, Sequence[Series]]] = [
        ("Rows", [Series("rows", [(float(number), float(day.rows)) for number, day in days], dots=True)]),
        (
            "Mean prediction",
            [
                Series(
                    "mean prediction",
                    [(float(number), day.mean_prediction) for number, day in days if day.mean_prediction is not None],
                    dots=True,
                )
            ],
        ),
    ]
    for name in names:
        points = [(float(number), day.distances[name]) for number, day in days if name in day.distances]
        charts.append((f"Distance of {name}", [Series(name, points, "second", dots=True)]))
    return TrendView([each for each in charts if each[1][0].points], look.days[0].date, look.days[-1].date)
