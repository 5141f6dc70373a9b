"""The verdict on a canary: what fails it, what does not, and what is too little to say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.rollout.counts import Counts
from serving.rollout.verdict import Outcome, judge, quantile_of, stability_index

BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, float("inf"))
SCORE_BOUNDS = (*(step / 20 for step in range(1, 21)), float("inf"))
RANDOM = np.random.default_rng(7)


def cumulative(values, bounds) -> dict[float, int]:
    return {bound: int(np.sum(values <= bound)) for bound in bounds}


def counts(rows: int = 2000, errors: int = 0, *, seconds: float = 0.008, shift: float = 0.0) -> Counts:
    """What a version did: its latency is spread around a median, its scores are beta distributed."""
    durations = seconds * RANDOM.lognormal(0, 0.3, rows)
    scores = np.clip(RANDOM.beta(2, 5, rows) + shift, 0, 1)
    positive = int(np.sum(scores > 0.5))
    return Counts(
        ok=rows - errors,
        errors=errors,
        durations=cumulative(durations, BOUNDS),
        classes={"0": rows - positive, "1": positive},
        scores=cumulative(scores, SCORE_BOUNDS),
    )


def outcomes(stable: Counts, canary: Counts) -> dict[str, str]:
    return {check.name: check.outcome.value for check in judge(stable, canary).checks}


def failed(stable: Counts, canary: Counts) -> list[str]:
    return [name for name, outcome in outcomes(stable, canary).items() if outcome == "fail"]


def test_a_canary_that_does_not_differ_passes():
    verdict = judge(counts(9000, 9), counts(1000, 1))
    assert verdict.outcome is Outcome.PASS
    assert [check.name for check in verdict.checks] == ["rows", "errors", "latency p95", "latency p99", "classes", "scores"]


def test_versions_that_do_not_differ_rarely_fail_at_the_least_traffic():
    verdicts = [judge(counts(500), counts(500)).outcome for _ in range(200)]
    assert verdicts.count(Outcome.FAIL) == 0


def test_more_errors_fail():
    assert failed(counts(9000, 9), counts(1000, 30)) == ["errors"]


def test_fewer_errors_pass():
    assert failed(counts(1000, 30), counts(9000, 9)) == []


def test_a_few_errors_on_little_traffic_may_be_chance():
    assert outcomes(counts(900, 9), counts(100, 2))["errors"] == "pass"


def test_many_errors_fail_before_there_is_much_traffic():
    verdict = judge(counts(900, 1), counts(20, 10))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("fail: errors p = ")


def test_a_difference_that_nobody_notices_passes_however_much_traffic_there_is():
    assert outcomes(Counts(ok=10_000_000, errors=1000), Counts(ok=10_000_000, errors=2000))["errors"] == "pass"


def test_a_slower_canary_fails():
    assert failed(counts(9000), counts(1000, seconds=0.03)) == ["latency p95", "latency p99"]


def test_a_few_slow_calls_may_be_chance():
    def calls(slow: int) -> Counts:
        return Counts(ok=800, durations={0.01: 800 - slow, 0.05: 800, float("inf"): 800})

    stable = Counts(ok=500, durations={0.01: 476, 0.05: 500, float("inf"): 500})
    found = {check.name: check for check in judge(stable, calls(50)).checks}["latency p95"]
    assert (found.measure, found.outcome) == ("1.80 times", Outcome.UNDECIDED)
    assert "may be chance" in found.limit
    assert outcomes(stable, calls(600))["latency p95"] == "fail"


def test_a_slower_canary_passes_while_it_is_fast():
    fast, slower = ({0.001: 1000 - slow, 0.005: 1000, float("inf"): 1000} for slow in (0, 900))
    found = outcomes(Counts(ok=1000, durations=fast), Counts(ok=1000, durations=slower))
    assert found["latency p95"] == "pass"


def test_other_scores_fail():
    assert failed(counts(9000), counts(1000, shift=0.3)) == ["classes", "scores"]


def test_a_class_that_was_never_predicted_before_fails():
    assert failed(Counts(ok=1000, classes={"a": 1000}), Counts(ok=1000, classes={"a": 600, "b": 400})) == ["classes"]


@pytest.mark.parametrize(("stable", "canary"), [(0, 0), (9000, 499), (499, 9000), (9000, 0)])
def test_too_little_traffic_is_undecided(stable: int, canary: int):
    verdict = judge(counts(stable), counts(canary))
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.reason.startswith("undecided: too little traffic for rows")


def test_the_number_of_rows_can_be_chosen():
    assert judge(counts(600), counts(600), min_rows=700).outcome is Outcome.UNDECIDED


def test_an_empty_version_is_no_error():
    assert judge(Counts(), Counts()).outcome is Outcome.UNDECIDED


def test_quantiles_are_those_of_prometheus():
    histogram = {1.0: 50, 2.0: 90, 5.0: 100, float("inf"): 100}
    assert quantile_of(histogram, 0.5) == pytest.approx(1.0)
    assert quantile_of(histogram, 0.7) == pytest.approx(1.5)
    assert quantile_of(histogram, 0.95) == pytest.approx(3.5)
    assert quantile_of({1.0: 0, float("inf"): 10}, 0.5) == 1.0
    assert quantile_of({1.0: 0, float("inf"): 0}, 0.5) is None
    assert quantile_of({}, 0.5) is None


def test_the_stability_index_of_known_distributions():
    # By hand: (0.4 - 0.2) ln(0.4 / 0.2) + (0.6 - 0.8) ln(0.6 / 0.8)
    assert stability_index({"a": 200_000, "b": 800_000}, {"a": 400_000, "b": 600_000}) == pytest.approx(0.1962, abs=1e-4)
    assert stability_index({"a": 5}, {"a": 500}) == 0
    assert stability_index({}, {}) == 0


def shadow(same: int, other: int, late: int = 400) -> Counts:
    rows = same + other
    return replace(counts(rows), classes={"0": rows - late, "1": late}, same=same, other=other)


def stable(rows: int = 2000, late: int = 400) -> Counts:
    return replace(counts(rows), classes={"0": rows - late, "1": late})


def test_a_shadow_that_agrees_passes():
    verdict = judge(stable(), shadow(1900, 100))
    assert verdict.outcome is Outcome.PASS
    (check,) = [check for check in verdict.checks if check.name == "agreement"]
    assert check.canary == "100 of 2,000 rows differ"
    # Of which chance explains 0.8 ** 2 + 0.2 ** 2.
    assert check.measure == f"95.0 % alike, kappa {(0.95 - 0.68) / (1 - 0.68):.2f}"


def test_a_shadow_that_answers_other_rows_so_fails_though_its_answers_are_spread_alike():
    # Independent of the stable version: 68 % alike by chance.
    assert failed(stable(), shadow(1360, 640)) == ["agreement"]


def test_little_agreement_on_few_rows_may_be_chance():
    assert outcomes(stable(), shadow(450, 150, late=120))["agreement"] == "pass"
    assert outcomes(stable(), shadow(442, 158, late=120))["agreement"] == "undecided"
    assert outcomes(stable(), shadow(300, 150, late=90))["agreement"] == "undecided"


def test_versions_that_always_say_the_same_agree():
    assert outcomes(stable(late=0), shadow(2000, 0, late=0))["agreement"] == "pass"
