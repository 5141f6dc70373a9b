"""The model contract: what a description keeps, and that the probe, which imports nothing of the project, has its names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.infra_validator import probe
from pipeline.contracts import model
from pipeline.errors import StorageError


def test_a_description_is_read_as_it_was_written() -> None:
    description = model.ModelDescription("regression", "price", [], 1234, {"city": "string", "rooms": "int"})
    assert model.ModelDescription.from_json(description.to_json()) == description


def test_a_description_of_another_version_is_read_as_far_as_it_is_known() -> None:
    text = json.dumps({"classes": ["no", "yes"], "licence": "CC0"})
    assert model.ModelDescription.from_json(text) == model.ModelDescription(classes=["no", "yes"])


def test_a_model_of_another_trainer_says_nothing_of_itself(tmp_path: Path) -> None:
    assert model.ModelDescription.of(tmp_path) == model.ModelDescription()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"digest": null}', b'{"classes": 3}', b'{"features": {"x": "y"}}']
)
def test_a_damaged_description_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / model.DESCRIPTION_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(StorageError, match="is damaged") as caught:
        model.ModelDescription.of(tmp_path)
    assert caught.value.where == str(path)


def test_the_probe_knows_the_contract() -> None:
    assert (probe.SERIALISED, probe.RAW, probe.EXAMPLES) == (
        model.EXAMPLES_SIGNATURE,
        model.COLUMNS_SIGNATURE,
        model.EXAMPLES_INPUT,
    )
