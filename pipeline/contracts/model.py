"""The contract of a model, with everything that loads, evaluates, validates, serves or calls it.

A SavedModel has two signatures with the same outputs. `serving_default` takes `examples`: serialized tf.Examples, [N] string.
`predict_raw` takes a tensor for each raw column, [N], under the column's name; `MISSING` stands for values that are not there.
That of a column with several values in a row is [N, values]: as many as the schema says, or any number, and then a row ends
before its first `MISSING`. So model servers may pad the rows of several requests with zeros, as TensorFlow Serving does.

| task                      | outputs                                                                              |
| ------------------------- | ------------------------------------------------------------------------------------ |
| binary classification     | `probabilities` [N, 2], `labels` [N, 1], `score` [N, 1]: that of the positive class; |
|                           | `probability` [N, 1]: that of the label, where the threshold is not 0.5              |
| multiclass classification | `probabilities` [N, classes], `labels` [N, 1]; where classes had weights in training |
|                           | that `probabilities` no longer show, `weighed_probabilities` [N, classes], and       |
|                           | `probability` [N, 1]: that of the label                                              |
| regression                | `predictions` [N, 1]                                                                 |

Labels are of the label's own type, all other outputs float32. Of two classes, the second is the positive one: the label of rows
whose score is above the model's threshold. Of several, the label is the most probable one, or that with the largest
`weighed_probabilities`. Probabilities are calibrated.

A model that can be explained has the signature `reference_rows`, as a model server hands out no files: it gives rows of the
training data by their `numbers`, [N] int64, as `rows`, [N] string: JSON objects of values by column, without what is missing.
There are up to `REFERENCE_ROWS`, in the order of what the model predicts for them; behind the last comes the first again.

A signature whose name is `digest_` and 32 hexadecimal digits is `serving_default` once more. It says which model this is, also
to those who only see what a model server tells: a version's number may be given again, after the version was deleted.

Where labels are not class indices themselves, the function `transformed_labels` turns serialized tf.Examples into indices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

EXAMPLES_SIGNATURE = "serving_default"
EXAMPLES_INPUT = "examples"
COLUMNS_SIGNATURE = "predict_raw"
REFERENCE_SIGNATURE = "reference_rows"
REFERENCE_INPUT = "numbers"
REFERENCE_OUTPUT = "rows"
REFERENCE_ROWS = 32
"""How many rows of the training data a model carries. Each costs an explanation a prediction for each feature."""

DIGEST_SIGNATURE = "digest_"
"""The beginning of the name of the signature that has the model's digest in it."""

PROBABILITIES = "probabilities"
LABELS = "labels"
PROBABILITY = "probability"
SCORE = "score"
WEIGHED = "weighed_probabilities"
"""Probabilities times the weights that classes had in training, which the label follows; rows add up to 1."""
PREDICTIONS = "predictions"

SCORED_OUTPUT_KEY = b"conveyor.output"
"""The key in the Parquet metadata of a scored table's column, whose value is the plain name of the prediction in it."""

TRANSFORMED_LABELS = "transformed_labels"
"""The name of the function that TFMA calls by default and takes the labels from."""

ColumnType = Literal["int", "float", "string"]
"""The types of a raw column: int64, float32 and bytes, all that a tf.Example can hold."""

MISSING: Mapping[ColumnType, int | float | bytes] = {"float": math.nan, "int": -(2**63), "string": b""}
"""The missing value of each type in a dense tensor: NaN, the smallest 64-bit integer, the empty string."""

WARMUP_PATH = "assets.extra/tf_serving_warmup_requests"
"""Within the SavedModel, where TensorFlow Serving looks for warm-up requests: PredictionLogs as TFRecords."""
MAX_WARMUP_REQUESTS = 1000
"""TensorFlow Serving refuses a model with more."""

_OTHER_TYPE = re.compile(r"Key: (.+), Index: \d+\.\s+Data types don't match\. Data type: (\w+) but expected type: (\w+)")


def column_of_another_type(problem: str) -> str:
    """The column that a model takes as another type than a row has it, with both types; empty where something else went wrong.

    Args:
      problem: what TensorFlow's error says.
    """
    found = _OTHER_TYPE.search(problem)
    return f"{found[1]} is {found[2]}, and was {found[3]} in the model's training" if found else ""


def free_name(name: str, taken: Collection[str]) -> str:
    """The name of an answer's column beside those of the data: its own, with `predicted_` before it while that is taken."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def digest_of(signatures: Iterable[str]) -> str:
    """The digest of a model by the names of its signatures; empty where an earlier release has written it."""
    return next((name.removeprefix(DIGEST_SIGNATURE) for name in signatures if name.startswith(DIGEST_SIGNATURE)), "")
