"""What sections ask of each other, and what they are told when they do not agree."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError

MINIMAL: dict[str, Any] = {"name": "houses", "label": "price", "data": {"input": "houses.csv"}}


def load(folder: Path, fields: dict[str, Any]) -> PipelineConfig:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **fields}, sort_keys=False))
    return load_config(path)


def refused(folder: Path, fields: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, fields)
    return caught.value


def with_value(fields: dict[str, Any], way: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The fields after a remedy: one value replaced, or removed when it is None."""
    mended = copy.deepcopy(fields)
    section = mended
    for name in way[:-1]:
        section = section.setdefault(name, {})
    if value is None:
        del section[way[-1]]
    else:
        section[way[-1]] = value
    return mended


@pytest.mark.parametrize(
    ("fields", "line", "fix", "way", "value"),
    [
        ({"data": {"input": "a.csv", "split": {"method": "window"}}}, 6, "method: hash", ("data", "split", "method"), "hash"),
        ({"data": {"input": "{VERSION}.csv"}}, 4, "{SPAN} in place of {VERSION}", ("data", "input"), "{SPAN}.csv"),
        ({"task": "regression", "positive_class": "a"}, 6, "Remove positive_class", ("positive_class",), None),
        (
            {"task": "regression", "training": {"class_weights": "balanced"}},
            7,
            "Remove class_weights",
            ("training", "class_weights"),
            None,
        ),
        ({"training": {"weight": "price"}}, 6, "remove weight", ("training", "weight"), None),
        ({"task": "regression", "decision": {"aim": "f1"}}, 6, "Remove the section decision", ("decision",), None),
        ({"decision": {"aim": "f1", "recall": 0.9}}, 7, "remove recall", ("decision", "recall"), None),
        ({"decision": {"false_positive": 2}}, 6, "aim: cost", ("decision", "aim"), "cost"),
        (
            {"decision": {"aim": "f1", "false_negative": 2}},
            7,
            "Remove false_negative",
            ("decision", "false_negative"),
            None,
        ),
        (
            {"features": {"size": {"kind": "numeric"}}, "training": {"weight": "size"}},
            6,
            "Remove it",
            ("features", "size"),
            None,
        ),
        ({"features": {"price": {"kind": "numeric"}}}, 6, "Remove it", ("features", "price"), None),
        (
            {"tuner": {"enabled": True}, "training": {"validation_fraction": 0}},
            8,
            "validation_fraction: 0.1",
            ("training", "validation_fraction"),
            0.1,
        ),
        ({"tuner": {"enabled": True}, "model": {"kind": "linear"}}, 8, "kind: auto", ("model", "kind"), "auto"),
        (
            {"model": {"build_model": "a.py:build", "kind": ["network", "trees"]}},
            7,
            "kind: network",
            ("model", "kind"),
            "network",
        ),
        (
            {"evaluation": {"thresholds": {"acuracy": {"min": 0.5}}}},
            7,
            "'accuracy'",
            ("evaluation", "thresholds"),
            {"accuracy": {"min": 0.5}},
        ),
        (
            {"task": "regression", "evaluation": {"thresholds": {"auc": {"min": 0.5}}}},
            8,
            "Write rmse",
            ("evaluation", "thresholds"),
            {"rmse": {"min": 0.5}},
        ),
        (
            {"evaluation": {"thresholds": {"calibration": {"max_regression": 0.1}}}},
            8,
            "calibration: {min: 0.9, max: 1.1}",
            ("evaluation", "thresholds", "calibration"),
            {"min": 0.9, "max": 1.1},
        ),
        (
            {"evaluation": {"thresholds": {"auc": {"min": 80}}}},
            8,
            "0.8 for 80 %",
            ("evaluation", "thresholds", "auc", "min"),
            0.8,
        ),
        ({"evaluation": {"weight": "price"}}, 6, "remove weight", ("evaluation", "weight"), None),
        (
            {"evaluation": {"weight": "size"}, "features": {"size": {"kind": "numeric"}}},
            8,
            "remove evaluation.weight",
            ("features", "size"),
            {"kind": "ignore"},
        ),
        (
            {"evaluation": {"max_gaps": {"city": {"selection_rates": 0.1}}}},
            8,
            "'selection_rate'",
            ("evaluation", "max_gaps", "city"),
            {"selection_rate": 0.1},
        ),
        (
            {"task": "regression", "evaluation": {"max_gaps": {"city": {"auc": 0.1}}}},
            9,
            "Write rmse",
            ("evaluation", "max_gaps", "city"),
            {"rmse": 0.1},
        ),
        (
            {
                "evaluation": {"max_gaps": {"city": {"recall": 0.1}}},
                "execution": {"beam": {"runner": "spark", "spark": {"job_server": "a:1", "worker_pool": "b:1"}}},
            },
            6,
            "Remove max_gaps",
            ("evaluation", "max_gaps"),
            {},
        ),
        (
            {"task": "multiclass_classification", "evaluation": {"thresholds": {"auc_ovr": {"max_regression": 0.1}}}},
            9,
            "auc_ovr: {min: 0.8}",
            ("evaluation", "thresholds", "auc_ovr"),
            {"min": 0.8},
        ),
        (
            {"evaluation": {"slice_thresholds": {"city": {"auc": {"min": 80}}}}},
            9,
            "0.8 for 80 %",
            ("evaluation", "slice_thresholds", "city", "auc", "min"),
            0.8,
        ),
        (
            {"gateway": {"access": {"api_keys": {"shop": {"sha256": "0" * 64}}, "choose_version": ["shopp", "*"]}}},
            11,
            "'shop'",
            ("gateway", "access", "choose_version"),
            ["shop"],
        ),
        (
            {"task": "regression", "evaluation": {"thresholds": {"mae": {"max": -1}}}},
            9,
            "0 or more",
            ("evaluation", "thresholds", "mae", "max"),
            0,
        ),
    ],
)
def test_a_contradiction_is_shown_with_its_line_and_the_remedy_mends_it(tmp_path, fields, line, fix, way, value):
    error = refused(tmp_path, fields)

    assert error.where == f"{tmp_path}/pipeline.yaml, line {line}"
    assert fix in error.fix
    load(tmp_path, with_value(fields, way, value))


def test_all_contradictions_are_listed_at_once(tmp_path):
    thresholds = {"auc": {"min": 2}, "f1": {"min": 0.5}, "loss": {"max": -1}}

    error = refused(tmp_path, {"features": {"price": {}}, "evaluation": {"thresholds": thresholds}})

    assert error.what == "The configuration has 4 problems."
    assert [line.partition(":")[0] for line in error.seen.splitlines()] == ["line 6", "line 10", "line 11", "line 14"]
