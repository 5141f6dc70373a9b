"""The model card: what it says follows from the run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from pipeline.config import PipelineConfig
from pipeline.report.model_card import ModelCard, model_card
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.status import RunOutcome
from tests.fakes.artifacts import OVERALL, metrics_for_slice, write_records


def fact(card: ModelCard, heading: str, name: str) -> str:
    """A value of the card."""
    return dict(dict(card.facts)[heading])[name]


@pytest.fixture
def card(workspace, config):
    """The card of a pushed model."""
    workspace.run("first", "-1", version="1")
    return model_card(read_run_details(config, "first"))


def test_the_model_is_described_by_its_own_files(card):
    assert fact(card, "Task", "From") == "2 columns: distance, origin"
    assert fact(card, "Task", "Classes") == "0, 1"
    assert fact(card, "Task", "Positive class") == "1"
    assert fact(card, "Model", "Size on disk") == "2.1 kB"


def test_the_best_epoch_is_named_when_it_was_not_the_last(card):
    assert fact(card, "Training", "Epochs") == "3 of at most 10; the weights are those of epoch 2"


def test_a_model_that_learnt_again_has_not_the_weights_of_an_epoch(workspace, config):
    workspace.run("first", "-1", version="1")
    file = read_run_details(config, "first").run.output("Trainer", "model_run").path / "recipe.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "learnt_again": True}))
    told = fact(model_card(read_run_details(config, "first")), "Training", "Epochs")
    assert told == "3 of at most 10; epoch 2 was the best, and then the model learnt again from all rows"


def test_what_the_training_followed_is_told(card):
    assert fact(card, "Training", "Batch size") == "32"
    assert fact(card, "Training", "Patience") == "2 epochs"
    assert fact(card, "Model", "Architecture").endswith("hidden layers of 128 → 64 units, dropout 0.3")


def test_rows_of_the_training_data_in_the_model_are_told_of(workspace, config):
    workspace.run("first", "-1", version="1")
    details = read_run_details(config, "first")
    assert "training.explainable: false leaves them out" in fact(model_card(details), "Model", "Carries")

    training = config.training.model_copy(update={"explainable": False})
    without = replace(details, config=config.model_copy(update={"training": training}))
    assert "Carries" not in dict(dict(model_card(without).facts)["Model"])


def test_limits_follow_from_evaluation_and_statistics(card):
    text = " ".join(card.limits)
    assert "auc 0.6000 on 40 rows, 0.8000 on all" in text
    assert "distance (50.0 %)" in text
    assert "does not show how it does on later data" in text


@pytest.mark.parametrize(
    ("precision", "limit"),
    [
        (0.5, "it finds 25.0 % of the positives, and 50.0 % of what it calls positive is so"),
        (math.nan, "calls no row positive"),
    ],
)
def test_a_threshold_is_a_limit(workspace, config, precision, limit):
    values = {"auc": 0.7, "recall": 0.25, "precision": precision, "example_count": 10}
    metrics = metrics_for_slice(OVERALL, {name: {"": value} for name, value in values.items()})
    folder = workspace.folder("Evaluator", "evaluation", "evaluation")
    write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics])
    workspace.execute("first", "Trainer", outputs={"model": "model"})
    workspace.execute("first", "Evaluator", outputs={"evaluation": "evaluation"})

    assert limit in model_card(read_run_details(config, "first")).limits[0]


def test_a_model_judged_on_later_spans_says_so(workspace, config):
    workspace.run("first", "-1", version="1")
    document = config.effective()
    document["data"]["split"] = {"method": "window", "train_spans": 2, "eval_spans": 3}
    windowed = PipelineConfig.model_validate(document)
    RunOutcome(run_id="first", pipeline="flights", config=windowed.effective()).save(config.runs_path / "first")

    assert "judged on the newest 3 spans alone" in model_card(read_run_details(config, "first")).limits[-1]


def test_the_division_of_the_rows_and_what_few_rows_are_worth_are_named(card):
    assert fact(card, "Data", "Split") == "by time, from 2013-03-01 on to evaluate on"
    assert "a model that knows nothing has an auc between" in " ".join(card.limits)


def test_tuned_hyperparameters_are_named(workspace, config):
    folder = workspace.folder("Tuner", "best_hyperparameters", "tuned")
    folder.mkdir(parents=True)
    (folder / "best_hyperparameters.txt").write_text(json.dumps({"space": [], "values": {"learning_rate": 0.01}}))
    workspace.execute("first", "Tuner", outputs={"best_hyperparameters": "tuned"})
    workspace.execute("first", "Trainer", inputs={"hyperparameters": "tuned"}, outputs={"model": "model"})

    assert fact(model_card(read_run_details(config, "first")), "Training", "Tuned") == "learning_rate 0.01"
