"""How good a model was on a span."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from pipeline.backtest.run import _Past


@pytest.mark.parametrize("metric", ["auc", "accuracy", "rmse"])
def test_a_span_whose_rows_have_no_weight_has_no_quality(config, monkeypatch: pytest.MonkeyPatch, metric: str):
    sample = Sample()
    sample.add(PredictedRows(np.array([0, 1]), np.array([[0.2], [0.7]], np.float32), np.zeros(2)))
    past = _Past(SimpleNamespace(config=config), metric)  # type: ignore[arg-type]
    monkeypatch.setattr(past, "sample", lambda spans, span: sample)
    quality = past.quality((1,), 2)
    assert math.isnan(quality.value)
    assert (quality.error, quality.rows) == (math.inf, 2)
