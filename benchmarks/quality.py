"""Compares the pipeline's model with scikit-learn's HistGradientBoosting on the same rows, columns and forward split.

    make run
    .venv/bin/python -m benchmarks.quality

The pipeline's model is the newest one that was pushed. Both learn from the months before the evaluation months and are
evaluated on those. The boosted trees get the same parts of a time as the model, such as the hour of the day, as whole numbers.
Seconds since 1970 would make them worse, because later months lie outside the range seen in training. Exits with 1 if the model
is worse than the best of the trees.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from benchmarks.example import CONFIG, newest_version, span_files
from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.contracts.model import COLUMNS_SIGNATURE, MISSING, SCORE, ColumnType
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.errors import ConveyorError, UsageError
from pipeline.training.features import DEFAULT_PARTS

# scikit-learn's trees have 256 bins: one is for missing values, and one for all rare values together.
MAX_CATEGORIES = 254

BASELINES: dict[str, dict[str, Any]] = {
    "HistGradientBoosting, 300 iterations": {"max_iter": 300, "early_stopping": False},
    "HistGradientBoosting, early stopping": {"max_iter": 1000, "early_stopping": True},
    "HistGradientBoosting, defaults": {"early_stopping": False},
}


def main() -> int:
    """Prints the area under the ROC curve of each model on the evaluation rows, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG, help="a configuration (default: the example's)")
    config = load_config(parser.parse_args().config, ())
    model_path = newest_version(config)
    train, evaluation = read_split(config)
    print(f"{len(train):,} rows to train on, {len(evaluation):,} to evaluate on; AUC on the latter")
    labels = evaluation[config.label].to_numpy()
    description = ModelDescription.from_json((model_path / DESCRIPTION_PATH).read_text())
    model_auc = float(roc_auc_score(labels, score(model_path, evaluation, description.features)))
    print(f"{'the pipeline, version ' + model_path.name:<40} {model_auc:.4f}", flush=True)
    rows = pd.concat([train, evaluation], ignore_index=True)
    columns = trees_view(rows, config, list(description.features), len(train))
    baselines = []
    for name, options in BASELINES.items():
        started = time.monotonic()
        trees = HistGradientBoostingClassifier(random_state=0, categorical_features="from_dtype", **options)
        trees.fit(columns[: len(train)], train[config.label])
        baselines.append(float(roc_auc_score(labels, trees.predict_proba(columns[len(train) :])[:, 1])))
        print(f"{name:<40} {baselines[-1]:.4f}  fitted in {time.monotonic() - started:.0f} s", flush=True)
    difference = model_auc - max(baselines)
    print(f"the pipeline's model is {'better' if difference >= 0 else 'worse'} by {abs(difference):.4f}")
    return 0 if difference >= 0 else 1


def read_split(config: PipelineConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the training spans and of the evaluation spans.

    Raises:
      UsageError: the configuration has no window of Parquet spans, or there are too few spans.
    """
    split, files = config.data.split, span_files(config)
    needed = split.train_spans + split.eval_spans
    if split.method != "window" or not config.data.input.endswith(".parquet") or len(files) < needed:
        raise UsageError(
            "This benchmark needs a window of spans in Parquet.",
            where=config.data.input,
            expected=f"data.split.method: window, and {needed} spans",
            seen=f"{split.method}, {len(files)} files",
            fix="Run 'conveyor data flights'.",
        )
    spans = [pd.read_parquet(file) for file in files[-needed:]]
    return pd.concat(spans[: split.train_spans]), pd.concat(spans[split.train_spans :])


def score(model_path: Path, rows: pd.DataFrame, features: Mapping[str, ColumnType]) -> npt.NDArray[np.float32]:
    """The probability of the positive class for each row, from the served model's signature."""
    dtypes: dict[ColumnType, Any] = {"float": np.float32, "int": np.int64, "string": object}
    predict = tf.saved_model.load(str(model_path)).signatures[COLUMNS_SIGNATURE]
    inputs = {}
    for name, kind in features.items():
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            values = values.astype("datetime64[s]").astype("int64")
        inputs[name] = tf.constant(values.where(values.notna(), MISSING[kind]).to_numpy(dtypes[kind]))
    return predict(**inputs)[SCORE].numpy()[:, 0]


def trees_view(rows: pd.DataFrame, config: PipelineConfig, features: list[str], num_train: int) -> pd.DataFrame:
    """The columns for scikit-learn: the most frequent training categories, and the parts of times as whole numbers."""
    columns: dict[str, pd.Series] = {}
    for name in features:
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            parts = {
                "minute_of_hour": values.dt.minute,
                "hour_of_day": values.dt.hour,
                "day_of_week": values.dt.dayofweek,
                "day_of_month": values.dt.day,
                "day_of_year": values.dt.dayofyear,
                "elapsed": values.astype("datetime64[s]").astype("int64"),
            }
            chosen = config.features[name].parts if name in config.features else None
            columns.update({f"{name}:{part}": parts[part] for part in chosen or DEFAULT_PARTS})
        elif pd.api.types.is_numeric_dtype(values):
            columns[name] = values.astype("float64")
        else:
            frequent = values.iloc[:num_train].value_counts().index[: MAX_CATEGORIES - 1]
            columns[name] = values.where(values.isin(frequent) | values.isna(), "(others)").astype("category")
    return pd.DataFrame(columns)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConveyorError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
