"""What each component is told of the configuration, and with it what makes it run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Feature, Growth, Model, PipelineConfig, Training
from pipeline.config.loading import load_config
from pipeline.contracts.schema import Schema, parse_schema
from pipeline.errors import ConfigError
from pipeline.training.settings import for_trainer, for_transform, for_tuner

SCHEMA = Schema.of(
    parse_schema(
        b"""
    feature { name: "late" type: INT }
    feature { name: "departure" type: INT time_domain { integer_format: UNIX_SECONDS } }
    feature { name: "seats" type: INT int_domain { is_categorical: true } }
    """,
        "schema.pbtxt",
    )
)


def _config(**sections: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "flights", "label": "late", "data": {"input": "flights.csv"}, **sections})


@pytest.mark.parametrize(
    ("sections", "transform_runs", "trainer_runs"),
    [
        ({"evaluation": {"slices": [["carrier"]]}}, False, False),
        ({"tuner": {"enabled": True}}, False, False),
        ({"training": {"epochs": 1}}, False, True),
        ({"model": {"dropout": 0.5}}, False, True),
        ({"features": {"seats": {"kind": "categorical"}}}, True, True),
        ({"preprocessing": {"vocabulary": 10}}, True, True),
    ],
)
def test_a_component_runs_again_for_what_it_depends_on(
    sections: dict[str, Any], transform_runs: bool, trainer_runs: bool
) -> None:
    before, after = _config(), _config(**sections)
    assert (for_transform(before) != for_transform(after)) is transform_runs
    assert (for_trainer(before) != for_trainer(after)) is trainer_runs


def test_the_width_of_an_embedding_is_the_trainers_alone() -> None:
    before, after = ({"features": {"carrier": {"kind": "categorical", **option}}} for option in ({}, {"embedding": 3}))
    assert for_transform(_config(**before)) == for_transform(_config(**after))
    assert for_trainer(_config(**before)) != for_trainer(_config(**after))


def test_an_embedding_makes_a_column_categorical_for_transform_too() -> None:
    assert for_transform(_config(features={"seats": {"embedding": 3}})).features == {"seats": Feature(kind="categorical")}


def test_your_own_code_makes_its_component_run_again(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        "name: flights\nlabel: late\ndata: {input: flights.csv}\nmodel: {build_model: 'own.py:build'}\n"
    )
    settings = []
    for source in ("def build(**arguments): ...", "def build(**arguments): pass"):
        (tmp_path / "own.py").write_text(source)
        config = load_config(tmp_path / "pipeline.yaml", ())
        settings.append((for_transform(config), for_trainer(config)))
    (transform_before, trainer_before), (transform_after, trainer_after) = settings
    assert transform_before == transform_after
    assert trainer_before != trainer_after


def test_the_schema_says_what_columns_are_unless_the_configuration_does() -> None:
    assert for_transform(_config(), SCHEMA).features == {
        "departure": Feature(kind="time"),
        "seats": Feature(kind="categorical"),
    }
    config = _config(features={"seats": {"kind": "ignore"}, "departure": {"parts": ["hour_of_day"]}})
    assert for_transform(config, SCHEMA).features == {
        "seats": Feature(kind="ignore"),
        "departure": Feature(parts=("hour_of_day",)),
    }


def test_a_column_that_the_schema_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column 'seat'") as error:
        for_transform(_config(features={"seat": {"kind": "numeric"}}), SCHEMA)
    assert error.value.fix == "Did you mean 'seats'?"


def test_settings_are_the_same_after_the_way_through_json(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def build(**arguments): ...")
    config = _config(
        features={"departure": {"kind": "time", "parts": ["hour_of_day"]}},
        model={"hidden_units": [8], "numeric_bins": 0, "build_model": f"{tmp_path}/own.py:build"},
    )
    for settings in (for_transform(config, SCHEMA), for_trainer(config, SCHEMA), for_tuner(config, SCHEMA)):
        received = type(settings).model_validate(json.loads(json.dumps(settings.to_custom_config())))
        assert received == settings
        assert received.to_custom_config() == settings.to_custom_config()


def test_the_tuners_values_go_before_the_configured_ones() -> None:
    settings = for_trainer(_config(model={"dropout": 0.5, "l2": 0.1}, training={"epochs": 3}))
    tuned = settings.tuned({"learning_rate": 0.01, "width": 32, "layers": 3, "dropout": 0.0})
    assert tuned.hyperparameters() == {
        **settings.hyperparameters(),
        "learning_rate": 0.01,
        "hidden_units": [32, 16, 8],
        "dropout": 0.0,
    }
    assert (tuned.model.l2, tuned.training.epochs) == (0.1, 3)


def test_the_tuners_values_for_trees_are_in_a_section_of_their_own() -> None:
    settings = for_trainer(_config(model={"l2": 0.1, "trees": {"num_leaves": 7, "l2": 3.0}}))
    tuned = settings.tuned({"trees.l2": 0.5, "trees.min_rows_in_leaf": 9})
    assert tuned.model.trees == Growth(num_leaves=7, l2=0.5, min_rows_in_leaf=9)
    assert tuned.hyperparameters() == settings.hyperparameters()


def test_your_own_model_gets_the_fields_of_two_sections() -> None:
    assert set(for_trainer(_config()).hyperparameters()) == {*Model.model_fields, *Training.model_fields} - {
        "build_model",
        "kind",
        "trees",
    }


def test_tensorflow_is_not_needed() -> None:
    program = "import sys; import pipeline.training.settings; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "num_rows", "expected"),
    [
        ("auto", 1000, ("network", "trees", "linear")),
        ("auto", 1_000_000, ("network", "trees")),
        ("trees", 1000, ("trees",)),
        (["linear", "network", "linear"], 1_000_000, ("network", "linear")),
    ],
)
def test_what_a_model_is_made_of(kind: Any, num_rows: int, expected: tuple[str, ...]) -> None:
    assert for_trainer(_config(model={"kind": kind})).member_kinds(num_rows) == expected


def test_a_model_of_your_own_is_a_network(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def build_model(): pass")
    config = _config(model={"kind": "auto", "build_model": str(tmp_path / "own.py:build_model")})
    assert for_trainer(config).member_kinds(1000) == ("network",)
