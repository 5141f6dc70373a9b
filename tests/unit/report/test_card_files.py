"""The model card as files."""

from __future__ import annotations

import json

import pytest

from pipeline.config import PipelineConfig
from pipeline.report import read_run_details, write_report
from pipeline.report.card_files import to_document, to_markdown
from pipeline.report.model_card import model_card

CARD = {
    "owners": ["Jo Doe <jo@example.com>", "the flights team"],
    "purpose": "Tells passengers how likely it is that a flight is late.",
    "limitations": ["Not for `pricing` | not for crews."],
    "license": "Apache-2.0",
}


@pytest.fixture
def config(config) -> PipelineConfig:
    """With what people say of the model."""
    return config.model_copy(update={"card": type(config.card).model_validate(CARD)})


def test_it_lies_beside_the_report_and_beside_the_model(workspace, config):
    workspace.run("first", "-1", version="1")
    version = config.serving_path / "1"
    version.mkdir(parents=True)

    folder = write_report(config, "first").parent

    for name in ("model_card.md", "model_card.json"):
        assert (folder / name).read_bytes() == (version / name).read_bytes()
        assert (version / name).stat().st_mode & 0o777 == 0o644
    assert (version / "model_card.md").read_text().startswith("# Model card: flights, version 1\n")


def test_a_model_that_was_not_pushed_has_one_too(workspace, config):
    workspace.run("first", "-1", min_auc=0.9)

    folder = write_report(config, "first").parent

    assert "run first, not pushed" in (folder / "model_card.md").read_text()
    assert json.loads((folder / "model_card.json").read_text())["model_details"]["version"]["name"] == ""


def test_without_a_model_there_is_none(workspace, config):
    workspace.execute("first", "ExampleGen", outputs={"examples": "examples"})

    folder = write_report(config, "first").parent

    assert not list(folder.glob("model_card.*"))


def test_the_words_of_the_configuration_come_first(workspace, config):
    workspace.run("first", "-1", version="1")
    details = read_run_details(config, "first")
    text = to_markdown(model_card(details), details)

    assert text.index(CARD["purpose"]) < text.index("Owners: Jo Doe \\<jo@example.com>, the flights team")
    assert text.index("- Not for \\`pricing\\` \\| not for crews.") < text.index("auc 0.6000 on 40 rows, 0.8000 on all")
    assert "License: Apache-2.0" in text
    assert "| auc | 0.8000 |" in text


def test_programs_find_the_fields_of_the_model_card_toolkit(workspace, config):
    workspace.run("first", "-1", version="1")
    details = read_run_details(config, "first")
    document = to_document(model_card(details), details)

    assert document["model_details"]["owners"] == [
        {"name": "Jo Doe", "contact": "jo@example.com"},
        {"name": "the flights team"},
    ]
    assert document["model_details"]["licenses"] == [{"identifier": "Apache-2.0"}]
    metrics = document["quantitative_analysis"]["performance_metrics"]
    assert {"type": "auc", "value": "0.8", "slice": ""} in metrics
    assert document["considerations"]["limitations"][0] == {"description": CARD["limitations"][0]}
    assert document["model_parameters"]["input_format"] == "distance: float, origin: string"
