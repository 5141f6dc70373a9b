"""The rows of the training split, as the Trainer divides them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import PipelineConfig
from pipeline.contracts.spans import FILE_NAME
from pipeline.training import data
from pipeline.training.data import TrainingData
from pipeline.training.examples import Rows
from pipeline.training.settings import for_trainer

NUM_ROWS = 100


class TransformOutput:
    """What is needed of a tft.TFTransformOutput."""

    def raw_feature_spec(self) -> dict[str, object]:
        return {"when": tf.io.VarLenFeature(tf.int64), "customer": tf.io.VarLenFeature(tf.string)}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that reads rows of five times, five customers and five spans, by how the table was divided."""
    columns = {
        "when": np.arange(NUM_ROWS) % 5,
        "customer": np.array([b"abcde"[row // 5 % 5 :][:1] for row in range(NUM_ROWS)], object),
    }

    def read_rows(patterns: Any, transformation: Any, label: str, specs: Any) -> Rows:
        return Rows({}, np.arange(NUM_ROWS) % 2, {name: columns[name] for name in specs})

    monkeypatch.setattr(data.examples, "read", read_rows)
    monkeypatch.setattr(data, "transformation", lambda settings, transform_output: None)
    parts = [{"all": {"split": "train", "rows": 20, "files": []}}] * 5 + [{"all": {"split": "eval", "rows": 7, "files": []}}]
    (tmp_path / FILE_NAME).write_text(json.dumps({"settings": "", "spans": [{"number": 1, "parts": each} for each in parts]}))

    def _read(**split: Any) -> TrainingData:
        source = {"input": "{SPAN}.csv", "split": split}
        config = PipelineConfig.model_validate({"name": "a", "label": "y", "data": source})
        return TrainingData.read([f"{tmp_path}/Split-train/*"], for_trainer(config), TransformOutput())

    return _read


def test_the_newest_spans_judge(read: Any) -> None:
    assert read(method="window").validation.tolist() == list(range(80, 100))


def test_the_newest_times_judge(read: Any) -> None:
    assert set(read(method="time", by="when").validation % 5) == {4}


def test_whole_groups_judge(read: Any) -> None:
    assert len(set(read(method="group", by="customer").validation // 5 % 5)) == 1


def test_of_rows_divided_by_a_hash_some_judge_at_random(read: Any) -> None:
    assert read(method="hash").division.words == "drawn at random"


def test_a_column_that_the_schema_lacks_cannot_tell(read: Any) -> None:
    assert read(method="time", by="arrival").division.words == "drawn at random"
