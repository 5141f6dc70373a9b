"""The lines that training prints while it goes on."""

from __future__ import annotations

import time

import pytest

from pipeline.training.network import _Progress


def test_an_epoch_that_takes_long_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = _Progress()
    progress.set_params({"epochs": 2, "steps": 20})
    progress.on_epoch_begin(0)
    for last_step in (15, 31):  # as Keras counts steps that are executed together
        now += 1.5
        progress.on_train_batch_end(last_step)
    progress.on_epoch_end(0, {"loss": 0.5})

    assert capsys.readouterr().out.splitlines() == [
        "progress: epoch 1/2, 16 of 20 steps",
        "progress: epoch 1/2, 20 of 20 steps",
        "progress: epoch 1/2  3.0 s  loss 0.5000",
    ]
