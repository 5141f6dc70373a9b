"""A training is stopped when most others were better by then."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.training.tuning.attempts import StopBelowMedian

OTHERS = ((0.9, 0.6, 0.5, 0.4), (0.9, 0.7, 0.6, 0.5), (0.9, 0.8, 0.7))


def stopped_after(
    losses: list[float], others: tuple[tuple[float, ...], ...] = OTHERS, epochs: int = 8, penalty: float = 0.0
) -> int | None:
    rule = StopBelowMedian(others, epochs)
    rule.set_params({"epochs": epochs})
    rule.set_model(SimpleNamespace(stop_training=False, losses=[penalty]))
    for epoch, loss in enumerate(losses):
        rule.on_epoch_end(epoch, {"val_loss": loss + penalty})
        if rule.model.stop_training:
            assert rule.has_stopped
            return epoch + 1
    return None


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.95, 0.75, 0.65], 2),
        ([0.95, 0.65, 0.65], 3),
        ([0.95, 0.65, 0.55, 0.45], None),
        ([0.95, 0.65, 0.9, 0.55], 3),
        ([0.95, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5], None),  # as good as the median
    ],
)
def test_one_that_is_worse_than_the_median_is_stopped(losses: list[float], expected: int | None) -> None:
    assert stopped_after(losses) == expected


def test_few_others_stop_none() -> None:
    assert stopped_after([2.0] * 8, OTHERS[:2]) is None
    assert stopped_after([2.0] * 8, (*OTHERS[:2], ())) is None


def test_none_is_stopped_at_its_beginning_or_at_its_end() -> None:
    assert stopped_after([2.0] * 32, epochs=32) == 4
    assert stopped_after([2.0] * 2, epochs=2) is None


def test_penalties_of_weights_do_not_count() -> None:
    assert stopped_after([0.95, 0.65, 0.55, 0.45], penalty=0.25) is None
