"""`conveyor config`, and which configuration a command uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.cli.options import find_config
from pipeline.config.loading import load_config
from pipeline.errors import DataError, UsageError

CONFIG = "name: houses\nlabel: price\ndata: {input: a.csv}\n"


@pytest.fixture
def conveyor(tmp_path, monkeypatch):
    """Runs a command in a folder with a pipeline.yaml and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    (tmp_path / "a.csv").write_text("rooms,price\n" + "3,0\n4,1\n" * 10)

    def _conveyor(*arguments: str, **environment: str) -> str:
        return CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False).stdout

    return _conveyor


def test_show_prints_every_field_with_overrides_applied(conveyor):
    shown = yaml.safe_load(conveyor("config", "show", "--set", "training.epochs=3"))

    assert shown["name"] == "houses"
    assert shown["training"]["epochs"] == 3
    assert shown["schema"] == {"path": None, "on_anomaly": None}


def test_comments_change_nothing_but_explain_every_field(conveyor):
    commented = conveyor("config", "show", "--comments")

    assert yaml.safe_load(commented) == yaml.safe_load(conveyor("config", "show"))
    assert "  # Share of a categorical column's embeddings dropped while training.\n  embedding_dropout: 0.0\n" in commented


def test_comments_leave_entries_alone_that_have_no_fields(conveyor):
    example = ("--set", "gateway.example={rooms: 3}", "--set", "features={rooms: {kind: numeric}}")
    commented = conveyor("config", "show", "--comments", *example)

    assert yaml.safe_load(commented) == yaml.safe_load(conveyor("config", "show", *example))
    assert "  example:\n    rooms: 3\n" in commented


@pytest.mark.parametrize("comments", [[], ["--comments"]])
def test_what_is_shown_has_the_same_resources_for_each_node_when_it_is_read_again(conveyor, comments):
    nodes = "kubeflow.nodes={Trainer: {cpu_limit: 4, memory_limit: null}, Transform: {tolerations: [{key: gpu}]}}"
    before = load_config(Path("pipeline.yaml"), [nodes]).kubeflow
    Path("again.yaml").write_text(conveyor("config", "show", *comments, "--set", nodes))

    after = load_config(Path("again.yaml")).kubeflow
    for node in ("Trainer", "Transform", "Pusher"):
        assert after.resources_of(node) == before.resources_of(node)
    assert after.resources_of("Trainer").memory_request == "1Gi"
    assert after.resources_of("Trainer").memory_limit is None


def test_classes_that_may_mean_the_same_are_told_and_the_remedy_works(conveyor):
    Path("a.csv").write_text("rooms,price\n" + "3,Yes\n4,no\n5,yes\n" * 10)
    told = conveyor("config", "validate", "--set", "task=multiclass_classification")
    with pytest.raises(DataError) as caught:
        conveyor("config", "validate")

    assert "'Yes', 'yes'" in told
    assert "pipeline.yaml is valid" in told
    for remedy in (told, caught.value.fix):
        setting = remedy.partition("set ")[2].partition("}")[0].replace(": {", "={", 1) + "}"
        assert conveyor("config", "validate", "--set", setting).startswith("pipeline.yaml is valid")


def test_the_schema_describes_every_field_that_is_shown(conveyor):
    schema = json.loads(conveyor("config", "schema"))

    assert list(schema["properties"]) == list(yaml.safe_load(conveyor("config", "show")))
    assert schema["properties"]["label"]["description"] == "The column that the model learns to predict."


def test_validate_says_what_the_pipeline_is(conveyor):
    assert (
        conveyor("config", "validate") == "pipeline.yaml is valid: pipeline houses, binary_classification of price from a.csv\n"
    )


def test_validate_looks_at_the_data_unless_it_is_elsewhere(conveyor, tmp_path):
    with pytest.raises(UsageError, match="There is no column 'romms' in the data") as caught:
        conveyor("config", "validate", "--set", "gateway.split_by=romms")
    assert caught.value.where == "--set gateway.split_by=romms"
    assert caught.value.fix == "Did you mean 'rooms'?"
    assert "is valid" in conveyor("config", "validate", "--set", "gateway.split_by=rooms")

    (tmp_path / "a.csv").unlink()
    with pytest.raises(UsageError, match="No file matches"):
        conveyor("config", "validate")
    assert "is valid" in conveyor("config", "validate", "--no-data")


def test_the_environment_names_a_configuration(conveyor, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG.replace("houses", "flats"))

    assert "pipeline flats" in conveyor("config", "validate", CONVEYOR_CONFIG=str(other))
    assert "pipeline houses" in conveyor("config", "validate", "pipeline.yaml", CONVEYOR_CONFIG=str(other))


def test_the_example_is_used_where_there_is_no_pipeline_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = tmp_path / "examples/flights/pipeline.yaml"
    example.parent.mkdir(parents=True)
    example.touch()

    assert find_config(None).resolve() == example
    (tmp_path / "pipeline.yaml").touch()
    assert find_config(None).resolve() == tmp_path / "pipeline.yaml"


def test_without_any_configuration_one_must_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="No configuration is named") as caught:
        find_config(None)
    assert "CONVEYOR_CONFIG" in caught.value.fix
