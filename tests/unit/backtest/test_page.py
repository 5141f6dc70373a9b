"""The page and the document of a backtest."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.backtest.gains import Gain, SpanGain
from pipeline.backtest.outcome import Backtest, outcome
from pipeline.backtest.page import render_backtest
from pipeline.backtest.play import Quality, Turn
from pipeline.backtest.policies import Policy, Trigger
from pipeline.backtest.trials import Trial
from pipeline.cli import backtest as command
from tests.fakes.browser import Page

NEVER, EVERY = Policy(Trigger.NEVER), Policy(Trigger.EVERY, 3)


def turn(span: int, value: float, *spans: int, reason: str = "") -> Turn:
    return Turn(span, spans, bool(reason), reason, Quality(value, 0.01, 500))


def trial(*spans: int) -> Trial:
    return Trial(str(spans), spans, spans[-1] + 1, f"run-{spans[-1]}", 30.0, "/model", "/examples")


@pytest.fixture
def found() -> Backtest:
    turns = {
        NEVER: (turn(201303, 0.7, 201302, reason="the first model"), turn(201304, 0.6, 201302)),
        EVERY: (
            turn(201303, 0.7, 201302, reason="the first model"),
            turn(201304, 0.72, 201302, 201303, reason="<b>temp</b> drifted in 201303"),
        ),
    }
    trials = {NEVER: (trial(201302),), EVERY: (trial(201302), trial(201302, 201303))}
    gain = Gain(str(EVERY), str(NEVER), "policy", 0.06, 0.05, 0.07, (SpanGain(201304, 0.12, 0.1, 0.14),))
    one = Gain("retrained", "not", "retraining", 0.12, -math.inf, math.inf, ())
    return outcome("flights", "auc", 0.0, turns, trials, (gain, one), ("training.epochs=1",))


def test_the_page_shows_lines_tables_and_reasons(found: Backtest):
    html = render_backtest(found)
    page = Page(html)
    assert page.headings == ["Quality by span", "Policies", "What is gained", "When models were trained"]
    assert all(address.startswith("#") for address in page.addresses)
    assert "Best on average: every span, 3 spans, auc 0.7100" in html
    assert "training.epochs=1" in html
    assert "&lt;b&gt;temp&lt;/b&gt; drifted" in html
    assert ">201304</text>" in html


def test_runs_are_counted_for_each_policy_and_once_in_all(found: Backtest):
    assert [(len(each.runs), each.seconds) for each in found.played] == [(1, 30.0), (2, 60.0)]
    assert len(found.trials) == 2


def test_the_document_has_every_span_with_its_interval_and_why(found: Backtest):
    document = found.document()
    assert json.loads(json.dumps(document))["policies"][1]["spans"][1]["trained_on"] == [201302, 201303]
    never, every = document["policies"]
    assert (never["gain"], every["gain"]["gain"]) == (None, 0.06)
    last = never["spans"][1]
    assert last["lower"] == pytest.approx(0.6 - 0.0196, abs=1e-4)
    assert (last["retrained"], last["reason"]) == (False, "")


def test_the_document_beside_the_page_has_null_where_json_has_no_number(found: Backtest, tmp_path: Path):
    command._write(found, tmp_path / "page.html", tmp_path / "backtest.json")
    document = json.loads((tmp_path / "backtest.json").read_text(), parse_constant=pytest.fail)
    assert [each["lower"] for each in document["gains"]] == [None]


def test_the_best_of_errors_is_the_smallest(found: Backtest):
    errors = Backtest(found.name, "rmse", 0.0, found.spans, found.played, found.gains)
    assert "Best on average: never retrained, rmse 0.6500" in render_backtest(errors)


def test_a_span_without_the_metric_is_left_out_of_the_mean_and_the_line(found: Backtest):
    turns = {NEVER: (turn(1, math.nan, 0, reason="the first model"), turn(2, 0.6, 0))}
    single = outcome("flights", "auc", 0.0, turns, {NEVER: (trial(0),)}, (), ())
    assert single.played[0].mean == 0.6
    assert "undefined" in render_backtest(single)
