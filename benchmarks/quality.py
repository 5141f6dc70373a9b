"""The pipeline's model beside scikit-learn's HistGradientBoosting: the same rows, the same columns, the same forward split.

    make run
    .venv/bin/python benchmarks/quality.py

The pipeline's model is the newest one it has pushed. Both learn from the months before the evaluation months and are judged on
those. The boosted trees see what the model sees of a time, its cyclic parts, as whole numbers: seconds since 1970, which no
tree has seen the like of in later months, make them worse. Exits with 1 if the model is worse than the best of the trees.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import ConveyorError, UsageError
from pipeline.training.features import DEFAULT_PARTS

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "examples" / "flights" / "pipeline.yaml"
# What scikit-learn's trees can tell apart: the missing value takes one of 256 bins, all rare values together another.
MAX_CATEGORIES = 254

BASELINES: dict[str, dict[str, Any]] = {
    "HistGradientBoosting, 300 iterations": {"max_iter": 300, "early_stopping": False},
    "HistGradientBoosting, early stopping": {"max_iter": 1000, "early_stopping": True},
    "HistGradientBoosting, defaults": {"early_stopping": False},
}


def main(config_path: Path) -> int:
    """Prints the area under the ROC curve of each model on the evaluation rows."""
    config = load_config(config_path, ())
    model_path = newest_version(config)
    train, evaluation = read_split(config)
    print(f"{len(train):,} rows to train on, {len(evaluation):,} to evaluate on; AUC on the latter")
    labels = evaluation[config.label].to_numpy()
    contract = json.loads((model_path / "assets.extra" / "conveyor.json").read_text())
    model_auc = float(roc_auc_score(labels, score(model_path, evaluation, contract["features"])))
    print(f"{'the pipeline, version ' + model_path.name:<40} {model_auc:.4f}", flush=True)
    rows = pd.concat([train, evaluation], ignore_index=True)
    columns = trees_view(rows, config, list(contract["features"]), len(train))
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


def newest_version(config: PipelineConfig) -> Path:
    """The folder of the model that was pushed last.

    Raises:
      UsageError: none was.
    """
    versions = [path for path in config.serving_path.glob("*") if path.name.isdigit()]
    if not versions:
        raise UsageError("No model has been pushed.", where=str(config.serving_path), fix="make run")
    return max(versions, key=lambda path: int(path.name))


def read_split(config: PipelineConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the spans to train on and to evaluate on.

    Raises:
      UsageError: the configuration is not one of Parquet spans in a window, or there are too few of them.
    """
    pattern, split = Path(config.resolve(config.data.input)), config.data.split
    root = Path(*pattern.parts[: next((i for i, part in enumerate(pattern.parts) if "{" in part), -1)])
    files = sorted(root.glob(str(pattern.relative_to(root)).replace("{SPAN}", "*")))
    needed = split.train_spans + split.eval_spans
    if split.method != "window" or pattern.suffix != ".parquet" or len(files) < needed:
        raise UsageError(
            "This benchmark needs a window of spans in Parquet.",
            where=str(pattern),
            expected=f"data.split.method: window, and {needed} spans",
            seen=f"{split.method}, {len(files)} files",
            fix="conveyor data flights",
        )
    spans = [pd.read_parquet(file) for file in files[-needed:]]
    return pd.concat(spans[: split.train_spans]), pd.concat(spans[split.train_spans :])


def score(model_path: Path, rows: pd.DataFrame, features: dict[str, str]) -> npt.NDArray[np.float32]:
    """Probability of the positive class of each row, from the model as it is served."""
    missing: dict[str, tuple[Any, Any]] = {
        "float": (np.float32, np.nan),
        "int": (np.int64, np.iinfo(np.int64).min),
        "string": (object, ""),
    }
    predict = tf.saved_model.load(str(model_path)).signatures["predict_raw"]
    inputs = {}
    for name, kind in features.items():
        dtype, placeholder = missing[kind]
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            values = values.astype("datetime64[s]").astype("int64")
        inputs[name] = tf.constant(values.where(values.notna(), placeholder).to_numpy(dtype))
    return predict(**inputs)["score"].numpy()[:, 0]


def trees_view(rows: pd.DataFrame, config: PipelineConfig, features: list[str], num_train: int) -> pd.DataFrame:
    """The columns as scikit-learn takes them: categories by how often they are seen in training, times as whole parts."""
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
        sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_CONFIG))
    except ConveyorError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
