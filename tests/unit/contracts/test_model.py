"""The model contract: the probe, which imports nothing of the project, has its names."""

from __future__ import annotations

from components.infra_validator import probe
from pipeline.contracts import model


def test_the_probe_knows_the_contract() -> None:
    assert (probe.SERIALISED, probe.RAW, probe.EXAMPLES) == (
        model.EXAMPLES_SIGNATURE,
        model.COLUMNS_SIGNATURE,
        model.EXAMPLES_INPUT,
    )
