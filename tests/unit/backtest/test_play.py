"""What each policy does, given what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pipeline.backtest.play import Quality, Turn, has_decayed, models_of, play
from pipeline.backtest.policies import Policy, Trigger

SPANS = (1, 2, 3, 4, 5, 6)
PLAYED = (3, 4, 5, 6)


@dataclass
class Past:
    """A past in which a model loses `loss` of its quality with each span, and spans in `drifts` differ from all before."""

    loss: float = 0.0
    drifts: tuple[int, ...] = ()
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def quality(self, spans: Sequence[int], span: int) -> Quality:
        self.asked.append((*spans, span))
        return Quality(0.8 - self.loss * (span - spans[-1] - 1), 0.001, 1000)

    def drifted(self, spans: Sequence[int], span: int) -> tuple[str, ...]:
        return ("temp",) if span in self.drifts and span not in spans else ()


def turns(policy: Policy, past: Past, metric: str = "auc") -> tuple[Turn, ...]:
    return play([policy], SPANS, PLAYED, metric, past)[policy]


def test_without_retraining_one_model_goes_through_all_spans():
    found = turns(Policy(Trigger.NEVER), Past(loss=0.1))
    assert {turn.spans for turn in found} == {(1, 2)}
    assert [turn.retrained for turn in found] == [True, False, False, False]
    assert [turn.quality.value for turn in found] == pytest.approx([0.8, 0.7, 0.6, 0.5])


def test_retrained_every_span_the_model_has_seen_the_newest_of_its_window():
    assert [turn.spans for turn in turns(Policy(Trigger.EVERY, 2), Past())] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert [turn.spans for turn in turns(Policy(Trigger.EVERY), Past())] == [SPANS[:end] for end in (2, 3, 4, 5)]


def test_drift_is_seen_after_its_span_and_the_new_model_knows_it():
    found = turns(Policy(Trigger.DRIFT), Past(drifts=(4,)))
    assert [turn.retrained for turn in found] == [True, False, True, False]
    assert found[2].spans == (1, 2, 3, 4)
    assert found[2].reason == "temp drifted in 4"


def test_decay_is_seen_by_the_labels_of_the_span_before():
    found = turns(Policy(Trigger.DECAY), Past(loss=0.05))
    # In span 4 the model is worse than in span 3, so there is a new one for span 5, which is as good as the first.
    assert [turn.retrained for turn in found] == [True, False, True, False]
    assert found[2].reason == "auc fell in 4"


def test_no_policy_looks_at_a_span_before_it_has_come():
    past = Past(loss=0.05, drifts=PLAYED)
    everything = play([Policy(each) for each in Trigger], SPANS, PLAYED, "auc", past)
    assert all(turn.spans[-1] < turn.span for each in everything.values() for turn in each)
    assert all(asked[-2] < asked[-1] for asked in past.asked)


@pytest.mark.parametrize(
    ("metric", "first", "now", "error", "decayed"),
    [
        ("auc", 0.80, 0.77, 0.001, True),
        ("auc", 0.80, 0.79, 0.001, False),  # less than matters
        ("auc", 0.80, 0.77, 0.02, False),  # no more than chance
        ("auc", 0.77, 0.80, 0.001, False),  # better
        ("rmse", 100.0, 103.0, 0.1, True),
        ("rmse", 103.0, 100.0, 0.1, False),
        ("auc", float("nan"), 0.77, 0.001, False),  # a span of one class
        ("auc", 0.80, 0.50, float("inf"), False),
    ],
)
def test_a_model_has_decayed_if_it_is_worse_by_more_than_chance_and_more_than_matters(metric, first, now, error, decayed):
    assert has_decayed(metric, Quality(first, error, 100), Quality(now, error, 100)) is decayed


def test_a_model_that_policies_share_is_trained_by_each():
    both = [Policy(Trigger.EVERY), Policy(Trigger.EVERY, 2)]
    models = models_of(play(both, SPANS, PLAYED, "auc", Past()))
    assert models[both[0]][0] == models[both[1]][0] == (1, 2)
    assert len(models[both[0]]) == len(PLAYED)
