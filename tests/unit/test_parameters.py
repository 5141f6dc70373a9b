"""What a run may set, and that setting it is the same as having configured it."""

from __future__ import annotations

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipeline import parameters
from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import UsageError
from pipeline.graph import create_pipeline
from pipeline.util import checkout

FLIGHTS = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"
TUNED = "tuner.enabled=true"


def compiled(*overrides: str) -> tuple[PipelineConfig, object]:
    config = load_config(FLIGHTS, ["workspace=/conveyor", *overrides])
    return config, Compiler().compile(create_pipeline(config))


@pytest.mark.parametrize(
    ("values", "overrides"),
    [
        ({}, ()),
        ({"span": 201303.0}, ("data.newest_span=201303",)),
        ({"steps_per_epoch": "3"}, ("training.steps_per_epoch=3",)),
        ({"push_destination": "/conveyor/other"}, ("push.destination=/conveyor/other",)),
        ({"run_note": "anything"}, ()),
    ],
)
@pytest.mark.parametrize("further", [(), (TUNED,)])
def test_a_parameter_is_as_good_as_the_configuration(values, overrides, further):
    config, ir = compiled(*further)
    _, configured = compiled(*further, *overrides)

    parameters.apply(ir, parameters.checked(config, values))

    assert ir == configured


def test_a_run_may_read_the_newest_span_of_a_pipeline_that_is_configured_for_another():
    config, ir = compiled("data.newest_span=201303")
    _, configured = compiled()

    parameters.apply(ir, parameters.checked(config, {"span": parameters.NEWEST_SPAN}))

    assert ir == configured


def test_defaults_are_what_is_configured():
    config = load_config(FLIGHTS, ["workspace=/w", "data.newest_span=7", "training.steps_per_epoch=5"])

    assert parameters.checked(config, {}) == {
        "span": 7,
        "steps_per_epoch": 5,
        "push_destination": "/w/models/flights",
        "run_note": "",
    }


def test_data_without_spans_have_no_span_to_choose():
    config = PipelineConfig(name="houses", label="price", data={"input": "/data/houses.csv"})

    assert "span" not in parameters.parameters_of(config)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"spam": 3}, "Did you mean 'span'"),
        ({"span": "march"}, "a whole number"),
        ({"span": 2.5}, "a whole number"),
        ({"span": -2}, "-1 for the newest"),
        ({"span": float("nan")}, "a whole number"),
        ({"span": float("inf")}, "a whole number"),
        ({"span": None}, "a whole number"),
        ({"steps_per_epoch": -1}, "0 for the whole split"),
        ({"push_destination": "gs://bucket/models"}, "an absolute path on a mounted file system"),
        ({"push_destination": ""}, "an absolute path on a mounted file system"),
    ],
)
def test_values_that_cannot_be(values, message):
    with pytest.raises(UsageError) as raised:
        parameters.checked(load_config(FLIGHTS), values)

    assert message in str(raised.value)
