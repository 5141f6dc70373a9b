"""Columns that are not one number or one category a row, through a whole run: lists, text, and columns without any value."""

from __future__ import annotations

import datetime
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import conveyor
from tests.integration.conftest import CONVEYOR, ENVIRONMENT

NUM_ROWS = 600
CONFIGURATION = """
name: any
label: label
data: {input: table.parquet}
features:
  review: {kind: text, hash_buckets: 256}
  codes: {kind: categorical}
  visits: {kind: time}
  binned: {buckets: 4}
  nan_binned: {buckets: 4}
  constant_binned: {buckets: 4}
  nan_lists_binned: {buckets: 4}
  constant_time: {kind: time, parts: [day_of_year]}
  signs: {kind: text}
training: {epochs: 60, batch_size: 128, learning_rate: 0.01}
infra_validator: {runner: process, requests: 20}
evaluation: {thresholds: {auc: {min: 0.8}}}
"""
TAGS = ["red", "green", "blue", "ünï", "two words"]
WORDS = ["good", "bad", "fine", "food", "service", "slow"]


def _table() -> pa.Table:
    """Whether a row is positive shows in the last of its tags, in one word of its review, and in nothing else."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, NUM_ROWS)
    tags = [[*random.choice(TAGS[1:], random.integers(0, 3)).tolist(), *["red"] * int(chance)] for chance in label]
    reviews = [" ".join([*random.choice(WORDS[1:], 5), *["GOOD!"] * int(chance)]) for chance in label]
    start = datetime.datetime(2024, 1, 1)
    return pa.table(
        {
            "label": label,
            "tags": pa.array([row or None for row in tags], pa.list_(pa.string())),
            "review": [None if number % 20 == 0 else review for number, review in enumerate(reviews)],
            "codes": pa.array([random.integers(0, 9, random.integers(0, 4)).tolist() for _ in label], pa.list_(pa.int64())),
            "numbers": pa.array([random.normal(size=random.integers(0, 5)).tolist() for _ in label], pa.list_(pa.float64())),
            "binned": pa.array([random.normal(size=random.integers(0, 5)).tolist() for _ in label], pa.list_(pa.float64())),
            "vector": pa.array(random.normal(size=(NUM_ROWS, 8)).tolist(), pa.list_(pa.float32())),
            "visits": pa.array(
                [[start + datetime.timedelta(hours=int(hour)) for hour in random.integers(0, 9999, 2)] for _ in label],
                pa.list_(pa.timestamp("us")),
            ),
            "id": [f"id {number}" for number in range(NUM_ROWS)],
            "nan": [math.nan] * NUM_ROWS,
            "nan_binned": [math.nan] * NUM_ROWS,
            "nan_vector": pa.array([[math.nan, math.nan]] * NUM_ROWS, pa.list_(pa.float64())),
            "nan_lists_binned": pa.array([[math.nan], [math.nan] * 2, None] * (NUM_ROWS // 3), pa.list_(pa.float64())),
            "infinite": [math.inf, -math.inf, 1.0] * (NUM_ROWS // 3),
            "constant": [7] * NUM_ROWS,
            "constant_binned": [7] * NUM_ROWS,
            "constant_text": ["a"] * NUM_ROWS,
            "constant_time": [1_700_000_000] * NUM_ROWS,
            "signs": ["?!"] * NUM_ROWS,
            "never": pa.nulls(NUM_ROWS),
            "never_text": pa.nulls(NUM_ROWS, pa.string()),
            "never_list": pa.nulls(NUM_ROWS, pa.list_(pa.string())),
        }
    )


def _conveyor(folder: Path, *arguments: str) -> str:
    done = subprocess.run([CONVEYOR, *arguments], cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def output_and_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("any")
    pq.write_table(_table(), folder / "table.parquet")
    (folder / "pipeline.yaml").write_text(CONFIGURATION)
    return _conveyor(folder, "run"), folder


@pytest.fixture(scope="module")
def model(output_and_folder: tuple[str, Path]) -> Any:
    _, folder = output_and_folder
    return conveyor.load(folder / "pipeline.yaml", overrides={"workspace": str(folder / ".conveyor")}).model()


def test_lists_and_identifiers_are_told(output_and_folder: tuple[str, Path]) -> None:
    output = " ".join(output_and_folder[0].split())
    assert "Columns of lists are used whole: codes, tags as bags of categories" in output
    assert "numbers by mean, least, greatest and number of values; nan_vector, vector value by value" in output
    assert "The column 'id' is used as a category" in output


def test_columns_without_any_value_are_no_features(model: Any) -> None:
    features = model.schema.features
    assert not {"never", "never_text", "never_list"} & features.keys()
    assert {name: feature.size for name, feature in features.items() if feature.is_list} == {
        "tags": None,
        "codes": None,
        "numbers": None,
        "binned": None,
        "vector": 8,
        "visits": 2,
        "nan_vector": 2,
        "nan_lists_binned": None,
    }


def test_the_model_in_the_process_answers_as_the_table_is_scored(model: Any, output_and_folder: tuple[str, Path]) -> None:
    _, folder = output_and_folder
    rows = pq.read_table(folder / "table.parquet").slice(0, 50).drop_columns("label")
    pq.write_table(rows, folder / "new.parquet")
    _conveyor(folder, "score", "--input", "new.parquet", "--output", "scored.parquet")
    scores = model.predict(rows.to_pandas())["score"].to_numpy()
    np.testing.assert_allclose(scores, pq.read_table(folder / "scored.parquet")["score"].to_numpy(), atol=1e-5)


def test_not_only_the_first_value_counts(model: Any) -> None:
    rows = [{"tags": ["green", "red"]}, {"tags": ["green", "blue"]}, {"review": "slow but good"}, {"review": "slow food"}]
    red, blue, good, slow = model.predict(pd.DataFrame(rows))["score"]
    assert red > blue
    assert good > slow


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"nan": None, "infinite": -math.inf},
        {"nan": 5.0},
        {"nan": 1e38, "nan_binned": -1e38},
        {"nan_vector": [1.0, 2.0], "nan_lists_binned": [3.0] * 100},
        {"constant": 2**60, "constant_binned": -1, "constant_text": "b", "constant_time": 0},
        {"signs": "words " * 1000, "tags": ["never seen"] * 1000, "numbers": [1e38, -1e38]},
        {"tags": [], "codes": [None], "vector": None, "visits": ["2024-02-29", "2024-02-29T12:00:00Z"]},
    ],
)
def test_any_value_has_an_answer(model: Any, row: dict[str, Any]) -> None:
    assert 0 <= model.predict(pd.DataFrame([row]))["score"].item() <= 1
