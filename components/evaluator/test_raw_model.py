"""How models are asked about rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.raw_model import RawModel
from components.evaluator.rows import Comparison, Models
from pipeline.contracts import model as contract
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription

MOST = 512


class Counting(tf.Module):
    """Answers a row with how many rows were asked about at once, and its number."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="number")])
    def of_columns(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answers for rows as columns."""
        return {"answer": tf.stack([tf.fill([tf.size(number)], tf.cast(tf.size(number), tf.float32)), number], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def of_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answers for rows as serialized tf.Examples."""
        parsed = tf.io.parse_example(examples, {"number": tf.io.FixedLenFeature([], tf.float32)})
        return self.of_columns(parsed["number"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("model")
    module = Counting()
    signatures = {contract.COLUMNS_SIGNATURE: module.of_columns, contract.EXAMPLES_SIGNATURE: module.of_examples}
    tf.saved_model.save(module, str(path), signatures)
    description = path / DESCRIPTION_PATH
    description.parent.mkdir(exist_ok=True)
    description.write_text(
        ModelDescription("regression", "label", classes=[], features={"number": "float"}, digest="").to_json()
    )
    return path


def examples_of(numbers: np.ndarray[Any, Any]) -> tf.Tensor:
    serialized = []
    for number in numbers:
        example = tf.train.Example()
        example.features.feature["number"].float_list.value.append(number)
        serialized.append(example.SerializeToString())
    return tf.constant(serialized, tf.string)


@pytest.mark.parametrize("rows", [0, 1, MOST, MOST + 1, 3 * MOST + 7])
def test_rows_are_asked_about_in_parts_and_answered_in_order(folder: Path, rows: int) -> None:
    numbers = np.arange(rows, dtype=np.float32)
    whole, rest = divmod(rows, MOST)
    at_once = np.repeat([MOST] * whole + [rest], [MOST] * whole + [rest])
    expected = np.stack([at_once, numbers], axis=1)
    comparison = Comparison(str(folder), contract.EXAMPLES_SIGNATURE, "answer", "label")
    models = Models([comparison])

    raw = models.raw(comparison)
    assert isinstance(raw, RawModel)
    np.testing.assert_array_equal(raw.predict({"number": numbers}), expected)
    np.testing.assert_array_equal(models.predict(examples_of(numbers))[comparison], expected)
