"""`conveyor schema`: shown, compared with the data of the last run, and changed to accept it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_data_validation.api.validation_api import infer_schema
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory

from pipeline.cli import main as command_line
from pipeline.config.loading import load_config

CURATED = """\
# Two towns, so far.
feature {
  name: "town"  # of departure
  type: BYTES
  domain: "towns"
}
feature { name: "late" type: INT int_domain { min: 0 max: 1 } }
string_domain { name: "towns" value: ["EWR", "JFK"] }  # from the tower
"""
CONFIG = """\
name: flights  # of 2013
label: late
data: {{input: flights.csv}}
workspace: {workspace}
"""
TRAIN = {"town": ["EWR", "JFK", "EWR"], "late": [0, 1, 1]}
EVAL = {"town": ["EWR", "LGA", "JFK"], "late": [0, 1, 1]}


@pytest.fixture
def folder(workspace, config, tmp_path):
    """A folder with a configuration, and a run of it that has statistics and an inferred schema."""
    (tmp_path / "pipeline.yaml").write_text(CONFIG.format(workspace=config.workspace))
    statistics, schema = workspace.folder("StatisticsGen", "statistics", "s"), workspace.folder("SchemaGen", "schema", "i")
    for split, columns in (("train", TRAIN), ("eval", EVAL)):
        (statistics / f"Split-{split}").mkdir(parents=True)
        of_split = generate_statistics_in_memory(
            pa.record_batch({name: [[each] for each in column] for name, column in columns.items()})
        )
        (statistics / f"Split-{split}" / "FeatureStats.pb").write_bytes(of_split.SerializeToString())
        if split == "train":
            schema.mkdir(parents=True)
            inferred = infer_schema(of_split, infer_feature_shape=False)
            (schema / "schema.pbtxt").write_text(text_format.MessageToString(inferred))
    workspace.execute("first", "StatisticsGen", outputs={"statistics": "s"})
    workspace.execute("first", "SchemaGen", outputs={"schema": "i"})
    return tmp_path


@pytest.fixture
def conveyor(folder, capsys):
    """Runs `conveyor schema …`; returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(["schema", *arguments, "-c", str(folder / "pipeline.yaml")])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


def curate(folder: Any, text: str = CURATED) -> None:
    (folder / "schema.pbtxt").write_text(text)
    with (folder / "pipeline.yaml").open("a") as config:
        config.write("schema: {path: schema.pbtxt}\n")


def test_an_inferred_schema_is_shown_in_words(conveyor):
    code, printed = conveyor("show")
    assert code == 0
    assert printed.startswith("Schema inferred by run first\n")
    assert [line.split() for line in printed.splitlines()[2:]] == [
        ["town", "bytes", "every", "row", "2", "values", "EWR,", "JFK", "categorical"],
        ["late", "int", "every", "row", "bool", "label"],
    ]


def test_what_the_data_breaks_is_told_with_what_would_change(conveyor, folder):
    curate(folder)
    _, printed = conveyor("diff")
    assert "town (split eval): Examples contain values missing from the schema: LGA (~33%)." in printed
    assert 'string_domain towns: value: "LGA"' in printed
    _, printed = conveyor("diff", "--json")
    assert json.loads(printed)["run"] == "first"
    assert len(json.loads(printed)["anomalies"]) == 1


def test_accepting_edits_the_curated_schema_and_keeps_the_comments(conveyor, folder):
    curate(folder)
    code, printed = conveyor("accept", "town")
    assert code == 0, printed
    assert (folder / "schema.pbtxt").read_text() == CURATED.replace('"JFK"]', '"JFK", "LGA"]')
    assert "keeps it" in conveyor("diff")[1]
    assert "accepts the data already" in conveyor("accept")[1]


def test_an_inferred_schema_becomes_the_curated_one(conveyor, folder):
    before = (folder / "pipeline.yaml").read_text()
    code, printed = conveyor("accept")

    assert code == 0, printed
    assert (folder / "pipeline.yaml").read_text() == f"{before}schema: {{path: schema.pbtxt}}\n"
    assert load_config(folder / "pipeline.yaml").schema_source.path == str(folder / "schema.pbtxt")
    assert "keeps it" in conveyor("diff")[1]
    assert conveyor("show")[1].startswith(f"Curated schema {folder / 'schema.pbtxt'}\n")


def test_a_configuration_with_a_section_of_its_own_is_left_to_the_person(conveyor, folder):
    with (folder / "pipeline.yaml").open("a") as config:
        config.write("schema: {on_anomaly: stop}\n")
    before = (folder / "pipeline.yaml").read_text()
    code, printed = conveyor("accept")

    assert code == 0, printed
    assert (folder / "pipeline.yaml").read_text() == before
    assert f"Add to {folder / 'pipeline.yaml'}: schema: {{path: schema.pbtxt}}" in printed


def test_a_schema_that_nobody_names_is_not_written_over(conveyor, folder):
    (folder / "schema.pbtxt").write_text("# somebody's")
    code, printed = conveyor("accept")
    assert code == 2
    assert "There is a schema already" in printed
    assert (folder / "schema.pbtxt").read_text() == "# somebody's"


def test_what_is_left_out_is_told(conveyor, folder):
    curate(folder)
    code, printed = conveyor("accept", "late")
    assert code == 3
    assert "town (split eval)" in printed
    assert (folder / "schema.pbtxt").read_text() == CURATED


def test_a_column_that_is_not_read_is_left_as_it_is(conveyor, folder):
    unread = 'feature { name: "tail" type: BYTES presence { min_fraction: 1 min_count: 1 } }  # of the plane\n'
    curate(folder, CURATED + unread)
    with (folder / "pipeline.yaml").open("a") as config:
        config.write("features: {tail: {kind: ignore}}\n")
    assert "tail" not in conveyor("diff")[1]
    code, printed = conveyor("accept")
    assert code == 0, printed
    assert (folder / "schema.pbtxt").read_text().endswith(unread)


def test_an_unknown_column_is_answered_with_a_proposal(conveyor):
    code, printed = conveyor("accept", "twon")
    assert code == 2
    assert "Did you mean 'town'?" in printed


def test_without_a_run_there_is_nothing_to_show(workspace, config, tmp_path, capsys):
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config.effective()))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["schema", "diff", "-c", str(tmp_path / "pipeline.yaml")])
    assert ended.value.code == 2
    assert "conveyor run --to ExampleValidator" in capsys.readouterr().err
