"""What a comparison with another model says, in words and in the verdict."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.contracts.judgement import FILE_NAME, Advantage, Gap, Judgement, SliceAdvantage
from pipeline.report.card_files import to_markdown
from pipeline.report.html.page import render_report
from pipeline.report.model_card import model_card
from pipeline.report.read.advantage import in_words
from pipeline.report.read.evaluation import read_evaluation
from pipeline.report.read.protos import tfma_protos
from pipeline.report.read.run_details import read_run_details
from pipeline.report.summary import print_metrics
from pipeline.report.verdict import why_blessed, why_not_blessed
from tests.fakes import artifacts


def _advantage(gain: float, lower: float, upper: float, *, metric: str = "auc", holds: bool = True) -> Advantage:
    return Advantage(metric, 0.7, 0.7 - gain, gain, lower, upper, holds)


@pytest.mark.parametrize(
    ("gain", "lower", "upper", "words"),
    [
        (0.0012, 0.0001, 0.0023, "0.0012 better than version 3 (between 0.0001 and 0.0023)"),
        (-0.01, -0.012, -0.008, "0.0100 worse than version 3 (between 0.0080 and 0.0120)"),
        (0.0012, -0.0005, 0.0029, "0.0012 better than version 3, which may be chance (between 0.0005 worse and 0.0029 better)"),
        (-0.0, -0.1, 0.1, "as good as version 3 (between 0.1000 worse and 0.1000 better)"),
        (0.0, 0.0, 0.0, "as good as version 3"),
        (0.0, -math.inf, math.inf, "as good as version 3, on too few rows to tell"),
        (0.00002, 0.00001, 0.00003, "0.0000 better than version 3 (between 0.0000 and 0.0000)"),
        (-0.00004, -0.0002, 0.0001, "as good as version 3 (between 0.0002 worse and 0.0001 better)"),
        (0.5, -math.inf, math.inf, "0.5000 better than version 3, on too few rows to tell"),
    ],
)
def test_a_difference_is_said_with_its_interval(gain, lower, upper, words):
    assert in_words(_advantage(gain, lower, upper), "version 3") == words


@pytest.fixture
def judged(workspace, config):
    """The details of a run whose evaluation has a judgement."""

    def _judged(judgement, *, min_auc=0.7, baseline=None):
        if baseline:
            workspace.run("first", "-1", version="3")
        folder = workspace.folder("Evaluator", "evaluation", "evaluation-2")
        workspace.run("second", "-2", min_auc=min_auc, baseline=baseline, version="" if min_auc > 0.8 else "4")
        (folder / FILE_NAME).write_text(judgement.to_json())
        return read_run_details(config, "second")

    return _judged


def test_a_blessed_model_says_how_much_better_it_is_than_others_and_which_class_is_positive(judged):
    judgement = Judgement(0.95, _advantage(0.2, 0.18, 0.22), True, {"auc": _advantage(0.0012, 0.0001, 0.0023)})
    details = replace(judged(judgement, baseline="model-1"), baseline_version="3")
    standing, _ = why_blessed(details)
    assert standing == (
        "auc 0.7000 at telling late = 1: 0.0012 better than version 3 (between 0.0001 and 0.0023), "
        "0.2000 better than always saying the same (between 0.1800 and 0.2200)."
    )
    assert standing in to_markdown(model_card(details), details)


def test_a_model_that_may_have_learnt_nothing_is_told_with_the_figures(judged):
    refused = Judgement(0.95, _advantage(0.01, -0.01, 0.03, holds=False), True)
    details = judged(refused, min_auc=0.9)
    assert why_not_blessed(details)[0] == (
        "auc is 0.7000, 0.0100 better than always saying the same, which may be chance "
        "(between 0.0100 worse and 0.0300 better)."
    )
    assert ("auc", "> 0.6900", False) in [(check.metric, check.bound, check.holds) for check in details.evaluation.checks]


def test_a_gap_between_slices_is_told_with_both_ends(judged):
    gap = Gap("sex", "selection_rate", 0.2, "F", 0.35, "M", 0.12, 0.18, 0.1, holds=False)
    details = judged(Judgement(0.95, gaps=(gap,)))
    (check,) = details.evaluation.failures
    assert check.sentence() == (
        "selection_rate differs by 0.1500 (between 0.1200 and 0.1800): 0.2000 for sex = F, 0.3500 for M; wanted gap ≤ 0.1"
    )
    assert "0.2000 for F" in render_report(details)


def test_a_slice_that_became_worse_is_told_with_the_interval_and_others_hold(tmp_path):
    artifacts.write_evaluation(tmp_path, baseline=True)
    by_slice = {"slicingSpecs": [{"featureKeys": ["origin"]}], "threshold": {"valueThreshold": {"lowerBound": 0.0}}}
    by_slice["threshold"]["changeThreshold"] = {"absolute": -0.02, "direction": "HIGHER_IS_BETTER"}
    metric = {"className": "AUC", "config": json.dumps({"name": "auc"}), "perSliceThresholds": [by_slice]}
    (tmp_path / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [metric]}]}}))
    (held,) = read_evaluation(tmp_path).checks
    assert (held.bound, held.slice, held.holds, held.versus) == ("≥ -0.02", "each origin", True, "the baseline")

    validation = tfma_protos("validation_result_pb2").ValidationResult()
    failed = validation.metric_validations_per_slice.add()
    failed.slice_key.single_slice_keys.add(column="origin", bytes_value=artifacts.EVIL.encode())
    failed.failures.add().metric_key.name = "auc"
    failed.failures[0].metric_threshold.change_threshold.absolute.value = -0.02
    artifacts.write_records(tmp_path / "validations.tfrecord", [validation])
    worse = Advantage("auc", 0.6, 0.7, -0.1, -0.15, -0.05, holds=False, allowed=0.02)
    judgement = Judgement(0.95, slices=(SliceAdvantage("origin", artifacts.EVIL, worse),))
    (tmp_path / FILE_NAME).write_text(judgement.to_json())
    (check,) = read_evaluation(tmp_path).checks
    assert check.sentence("version 3") == (
        f"auc for origin = {artifacts.EVIL} is 0.6000, 0.1000 worse than version 3 (between 0.0500 and 0.1500); wanted ≥ -0.02"
    )
    console = Console(record=True, width=200)
    print_metrics(read_evaluation(tmp_path), 1, console)
    assert f"✗ ≥ -0.02 vs baseline for origin = {artifacts.EVIL}" in console.export_text()


def test_where_a_floor_is_given_always_saying_the_same_is_no_bound(judged):
    details = judged(Judgement(0.95, _advantage(0.01, -0.01, 0.03, holds=False)))
    assert [check.bound for check in details.evaluation.checks] == ["≥ 0.7"]
    assert "always saying the same, which may be chance" in why_blessed(details)[0]


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_loss_against_the_baseline_is_told_with_what_was_wanted(tmp_path, is_allowed):
    artifacts.write_evaluation(tmp_path, baseline=True)
    config = json.loads((tmp_path / "eval_config.json").read_text())
    (metric,) = config["evalConfig"]["metricsSpecs"][0]["metrics"]
    change = metric["perSliceThresholds"][0]["threshold"]["changeThreshold"]
    change["absolute"] = -0.01 if is_allowed else -1e-6
    (tmp_path / "eval_config.json").write_text(json.dumps(config))
    lost = _advantage(-0.05, -0.06, -0.04, holds=False)
    (tmp_path / FILE_NAME).write_text(Judgement(0.95, baseline={"auc": lost}).to_json())
    evaluation = read_evaluation(tmp_path)

    (check,) = [check for check in evaluation.checks if check.against_baseline]
    assert check.sentence("version 3") == (
        "auc is 0.7000, 0.0500 worse than version 3 (between 0.0400 and 0.0600)" + ("; wanted ≥ -0.01" if is_allowed else "")
    )
    console = Console(record=True, width=100)
    print_metrics(evaluation, 1, console)
    assert f"{'≥ -0.01' if is_allowed else 'no worse'} vs baseline" in console.export_text()
