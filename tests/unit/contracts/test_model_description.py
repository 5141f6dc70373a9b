"""What a description of a model keeps, and what is said of a damaged one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.errors import StorageError


def test_a_description_is_read_as_it_was_written() -> None:
    description = ModelDescription("regression", "price", [], 1234, {"city": "string", "rooms": "int"})
    assert ModelDescription.from_json(description.to_json()) == description


def test_a_description_of_another_version_is_read_as_far_as_it_is_known() -> None:
    text = json.dumps({"classes": ["no", "yes"], "licence": "CC0"})
    assert ModelDescription.from_json(text) == ModelDescription(classes=["no", "yes"])


def test_a_model_of_another_trainer_says_nothing_of_itself(tmp_path: Path) -> None:
    assert ModelDescription.of(tmp_path) == ModelDescription()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"digest": null}', b'{"classes": 3}', b'{"features": {"x": "y"}}']
)
def test_a_damaged_description_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / DESCRIPTION_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(StorageError, match="is damaged") as caught:
        ModelDescription.of(tmp_path)
    assert caught.value.where == str(path)
