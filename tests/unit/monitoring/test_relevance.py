"""Which drift makes a policy retrain."""

from __future__ import annotations

from pipeline.monitoring.comparison import DISTRIBUTION, Check, ColumnComparison
from pipeline.monitoring.relevance import drift_that_matters


def column(name: str, importance: float | None, *, drifted: bool = True) -> ColumnComparison:
    check = Check(DISTRIBUTION, "L-infinity", 0.3, 0.01, 0.0, 0.02, is_drift=drifted)
    return ColumnComparison(name, "number", (check,), "", (0.0, 0.0), importance=importance)


def test_columns_that_the_model_leans_on_count_and_the_most_important_is_told_first():
    columns = [column("humid", 0.005), column("temp", 0.03), column("hour", 0.2), column("dest", 0.5, drifted=False)]
    assert drift_that_matters(columns) == ("hour",)
    assert drift_that_matters([column("temp", 0.06), *columns[2:]]) == ("hour", "temp")


def test_where_importance_is_not_known_all_drift_counts():
    assert drift_that_matters([column("a", None), column("b", None, drifted=False)]) == ("a",)


def test_a_model_that_leans_on_nothing_is_not_retrained_because_of_drift():
    assert drift_that_matters([column("a", 0.0), column("b", -0.01)]) == ()
    assert drift_that_matters([]) == ()
