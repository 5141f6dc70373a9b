"""What scikit-learn makes of the rows that a pipeline learns from: the models that somebody would try first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.config import Task

# scikit-learn's trees have 256 bins: one is for missing values, and one for all rare values together.
MOST_CATEGORIES = 254
_RARE = "(others)"
_LINEAR_CATEGORIES = 100

LINEAR, TREES, TUNED = "linear", "HistGradientBoosting", "LightGBM, tuned"
"""LogisticRegression or RidgeCV on standardised numbers and one-hot categories; HistGradientBoosting with its defaults, trying
a tenth of the rows for early stopping beyond 10,000; and LightGBM, the best of a random search by cross-validation."""

_TUNED_TRIALS, _TUNED_FOLDS = 15, 4
_TUNED_SPACE: Mapping[str, Sequence[float]] = {
    "n_estimators": (50, 100, 200, 400),
    "learning_rate": (0.02, 0.05, 0.1),
    "num_leaves": (4, 8, 16, 31, 63),
    "min_child_samples": (2, 5, 10, 20, 50),
    "colsample_bytree": (0.5, 0.8, 1.0),
    "subsample": (0.7, 1.0),
    "reg_lambda": (0.0, 1.0, 10.0),
    "min_data_per_group": (5, 20, 100),
}


def errors(
    task: Task, train: pd.DataFrame, evaluation: pd.DataFrame, label: str, seed: int, tuned: bool = False
) -> dict[str, dict[str, float]]:
    """How wrong scikit-learn's models are.

    Args:
      task: the kind of prediction.
      train: the rows to learn from.
      evaluation: the rows to judge by, with the same columns.
      label: the column to predict.
      seed: of what is drawn at random.
      tuned: whether to search for the best settings of LightGBM too, which takes minutes.

    Returns:
      By model and metric, as `wrong` gives them.
    """
    columns = view(pd.concat([train, evaluation], ignore_index=True).drop(columns=label), len(train))
    # LightGBM takes no names with commas, colons or brackets.
    columns.columns = [str(position) for position in range(columns.shape[1])]
    rows, others = columns.iloc[: len(train)], columns.iloc[len(train) :]
    makers = dict(_MODELS if tuned else {name: _MODELS[name] for name in (LINEAR, TREES)})
    found = {}
    for name, make in makers.items():
        model = make(task, rows, seed).fit(rows, train[label])
        outputs = model.predict(others) if task is Task.REGRESSION else model.predict_proba(others)
        classes = None if task is Task.REGRESSION else model.classes_
        found[name] = wrong(task, evaluation[label], outputs, classes)
    return found


def wrong(
    task: Task, labels: pd.Series, outputs: npt.NDArray[np.floating], classes: Sequence[object] | None = None
) -> dict[str, float]:
    """How wrong predictions are: 1 - AUC and the log loss; 1 - accuracy and the log loss; the root of the mean squared error.

    Args:
      task: the kind of prediction.
      labels: [N].
      outputs: numbers, [N], or the probabilities of the classes, [N, classes].
      classes: the classes in the order of the outputs.
    """
    if task is Task.REGRESSION or classes is None:
        return {"rmse": float(root_mean_squared_error(labels, outputs))}
    known = list(classes)
    expected = labels.map(known.index)
    loss = float(log_loss(expected, outputs, labels=range(len(known))))
    if task is Task.BINARY:
        return {"1 - auc": 1 - float(roc_auc_score(expected, outputs[:, 1])), "log loss": loss}
    return {"1 - accuracy": float(np.mean(outputs.argmax(axis=1) != expected)), "log loss": loss}


def view(table: pd.DataFrame, num_train: int) -> pd.DataFrame:
    """The columns as scikit-learn takes them: numbers, and the categories that are most frequent in the rows to learn from.

    Args:
      table: the columns of features.
      num_train: how many rows, the first ones, are learnt from.
    """
    columns: dict[str, pd.Series] = {}
    for name, values in table.items():
        if pd.api.types.is_datetime64_any_dtype(values):
            columns[f"{name}"] = values.astype("datetime64[s]").astype("int64").astype(float)
            columns.update(
                {
                    f"{name}, month": values.dt.month.astype(float),
                    f"{name}, day of week": values.dt.dayofweek.astype(float),
                }
            )
        elif pd.api.types.is_numeric_dtype(values):
            columns[str(name)] = values.astype(float)
        else:
            words = values.astype(str).where(values.notna())
            frequent = words.iloc[:num_train].value_counts().index[: MOST_CATEGORIES - 1]
            columns[str(name)] = words.where(words.isin(frequent) | words.isna(), _RARE).astype("category")
    return pd.DataFrame(columns)


def _linear(task: Task, rows: pd.DataFrame, seed: int) -> BaseEstimator:
    numbers = list(rows.select_dtypes("number"))
    categories = list(rows.select_dtypes("category"))
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True, strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_LINEAR_CATEGORIES), categories),
    )
    model = RidgeCV(np.logspace(-3, 3, 13)) if task is Task.REGRESSION else LogisticRegression(max_iter=2000, random_state=seed)
    return make_pipeline(prepared, model)


def _trees(task: Task, rows: pd.DataFrame, seed: int) -> BaseEstimator:
    kind = HistGradientBoostingRegressor if task is Task.REGRESSION else HistGradientBoostingClassifier
    return kind(random_state=seed, categorical_features="from_dtype")


def _tuned(task: Task, rows: pd.DataFrame, seed: int) -> BaseEstimator:
    kind = LGBMRegressor if task is Task.REGRESSION else LGBMClassifier
    scoring = {
        Task.REGRESSION: "neg_root_mean_squared_error",
        Task.BINARY: "roc_auc",
        Task.MULTICLASS: "neg_log_loss",
    }[task]
    model = kind(random_state=seed, verbose=-1, n_jobs=2, subsample_freq=1)
    return RandomizedSearchCV(
        model, dict(_TUNED_SPACE), n_iter=_TUNED_TRIALS, cv=_TUNED_FOLDS, scoring=scoring, random_state=seed
    )


_MODELS: Mapping[str, Callable[[Task, pd.DataFrame, int], BaseEstimator]] = {LINEAR: _linear, TREES: _trees, TUNED: _tuned}
