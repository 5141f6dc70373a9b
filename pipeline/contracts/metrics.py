"""Which of two values of a metric is better: the Evaluator's thresholds and the report agree on it."""

PRIMARY_METRICS = ("auc", "accuracy", "rmse", "mse", "mae")
"""The metrics that sum a model up. The first that was measured does."""

_HIGHER_IS_BETTER = frozenset(
    {
        "auc",
        "auc_precision_recall",
        "accuracy",
        "precision",
        "recall",
        "macro_f1",
        "auc_ovr",
        "top_3_accuracy",
        "top_5_accuracy",
        "r2",
    }
)
_LOWER_IS_BETTER = frozenset(
    {"loss", "rmse", "mse", "mae", "mape", "median_absolute_error", "p90_absolute_error", "false_positive_rate"}
)

BELOW_ZERO = frozenset({"r2"})
"""The metrics that can be below 0."""


def higher_is_better(metric: str) -> bool | None:
    """Whether the higher value of a metric is the better one.

    Args:
      metric: its name in the results of an evaluation.

    Returns:
      None where neither is: the best value lies in between, as for `calibration`, or none is better, as for `mean_label`.
    """
    if metric in _HIGHER_IS_BETTER:
        return True
    return False if metric in _LOWER_IS_BETTER else None
