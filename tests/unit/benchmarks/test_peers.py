"""The models of others that ours is compared with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import peers
from pipeline.config import Task


def test_each_peer_learns_from_numbers_categories_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_TUNED_TRIALS", 1)
    monkeypatch.setattr(peers, "_TUNED_FOLDS", 2)
    random = np.random.default_rng(0)
    colours = random.choice(["red", "green", "blue"], 150)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(150), unit="D")
    table = pd.DataFrame({"the colour: its name": colours, "when": when, "length": random.normal(size=150)})
    table["label"] = (colours == "red") ^ (random.random(150) < 0.02)
    found = peers.errors(Task.BINARY, table.iloc[::2], table.iloc[1::2], "label", seed=0, tuned=True)
    assert list(found) == [peers.LINEAR, peers.TREES, peers.TUNED]
    assert all(errors["1 - auc"] < 0.2 for errors in found.values())
