"""The page of a backtest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.backtest.outcome import Backtest, Played
from pipeline.backtest.policies import Trigger, window_words
from pipeline.report.html.charts import Series
from pipeline.report.html.page import render_page, render_template
from pipeline.report.html.sections import Section

_STYLES = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class QualityView:
    """Lines of quality by span."""

    charts: Sequence[tuple[str, Sequence[Series]]]
    metric: str
    spans: Sequence[str]


def render_backtest(found: Backtest) -> str:
    """The page of a backtest.

    Args:
      found: what was played.

    Returns:
      HTML that refers to nothing outside itself.
    """
    sections = [
        Section("backtest_quality", "Quality by span", QualityView(_charts(found), found.metric, list(map(str, found.spans)))),
        Section("backtest_policies", "Policies", found),
    ]
    if found.gains:
        sections.append(Section("backtest_gains", "What is gained", found))
    sections.append(Section("backtest_decisions", "When models were trained", found))
    header = render_template("backtest", found=found)
    footer = f"A backtest of {found.name}. This page is complete in itself: it loads nothing."
    return render_page(f"{found.name} · backtest", header, sections, footer)


def _charts(found: Backtest) -> list[tuple[str, Sequence[Series]]]:
    never = [each for each in found.played if each.policy.trigger is Trigger.NEVER]
    others = [each for each in found.played if each.policy.trigger is not Trigger.NEVER]
    longest = next((each.policy.window for each in others), None)
    by_trigger = [each for each in others if each.policy.window == longest]
    by_window = [each for each in others if each.policy.trigger is Trigger.EVERY]
    charts = [(f"When to retrain, on {window_words(longest)}", _series(never, by_trigger))]
    if len(by_window) > 1:
        charts.append(("On how much history, retrained every span", _series(never, by_window)))
    return charts


def _series(never: Sequence[Played], others: Sequence[Played]) -> Sequence[Series]:
    lines = [*zip(others, _STYLES, strict=False), *((each, "guide") for each in never)]
    return [
        Series(
            str(each.policy),
            [(float(number), turn.quality.value) for number, turn in enumerate(each.turns)],
            style,
            dots=style != "guide",
        )
        for each, style in lines
    ]
