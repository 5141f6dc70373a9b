"""Predictions that an earlier backtest has kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.evaluator.predicted_rows import PredictedRows
from pipeline.backtest.predictions import _read, _read_importance, _write


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:100], lambda whole: whole[:-200] + whole[-100:]])
def test_kept_predictions_that_are_damaged_are_made_anew(tmp_path: Path, damage):
    path = tmp_path / "1-a.npz"
    _write(path, [PredictedRows(np.ones(5), np.ones((5, 1), np.float32), np.ones(5))])
    sample = _read(path)
    assert sample is not None
    assert len(sample) == 5
    path.write_bytes(damage(path.read_bytes()))
    assert _read(path) is None


@pytest.mark.parametrize("content", ["", '{"rows"', "[]", "{}"])
def test_importance_that_is_damaged_is_measured_anew(tmp_path: Path, content: str):
    path = tmp_path / "importance.json"
    assert _read_importance(path) is None
    path.write_text(content)
    assert _read_importance(path) is None
