"""Policies as they are named, and the spans that they train on."""

from __future__ import annotations

import pytest

from pipeline.backtest.policies import Policy, Trigger, policies, training_spans
from pipeline.errors import UsageError

SPANS = (201301, 201302, 201303, 201401)


def test_each_trigger_is_played_with_each_window_the_longest_first_and_never_once():
    assert [str(each) for each in policies("decay,never,every", "3, all,6")] == [
        "never retrained",
        "every span, all spans",
        "every span, 6 spans",
        "every span, 3 spans",
        "on decay, all spans",
        "on decay, 6 spans",
        "on decay, 3 spans",
    ]


def test_the_same_twice_is_played_once():
    assert policies("every,every", "1,1") == (Policy(Trigger.EVERY, 1),)


@pytest.mark.parametrize(
    ("triggers", "windows", "seen"),
    [
        ("evry", "3", "Did you mean 'every'"),
        ("every", "0", "'0' is no window"),
        ("every", "-1", "no window"),
        ("", "3", "no policy"),
    ],
)
def test_what_is_no_policy_is_refused(triggers, windows, seen):
    with pytest.raises(UsageError, match=seen):
        policies(triggers, windows)


def test_a_model_is_trained_on_the_newest_spans_before_the_one_that_comes():
    assert training_spans(SPANS, 201401, 2) == (201302, 201303)
    assert training_spans(SPANS, 201401, 9) == training_spans(SPANS, 201401, None) == SPANS[:3]
    assert training_spans(SPANS, 201303, 1) == (201302,)
