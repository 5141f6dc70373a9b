"""The scoring pipeline as it is compiled, and the command line's refusals. tests/integration/test_score.py runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.dsl.compiler.compiler import Compiler
from tfx.proto.orchestration import pipeline_pb2

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.scoring import create_scoring_pipeline

CONFIG = """
name: tiny
label: late
data: {input: "span-{SPAN}.csv"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration and the spans 3 and 4."""
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    for span in (3, 4):
        (tmp_path / f"span-{span}.csv").write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiled(folder: Path, span: int | None = None) -> dict[str, pipeline_pb2.PipelineNode]:
    config = PipelineConfig(name="tiny", label="late", data={"input": "unused.csv"}, features={"note": {"kind": "ignore"}})
    pipeline = create_scoring_pipeline(config, f"{folder}/span-{{SPAN}}.csv", f"{folder}/out.parquet", span=span)
    ir = Compiler().compile(pipeline)
    assert ir.pipeline_info.id == "tiny-score"
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}


def test_its_chain_ends_with_a_table(folder: Path) -> None:
    nodes = compiled(folder)
    assert set(nodes) == {"ExampleGen", "Resolver", "BulkInferrer", "PredictionWriter"}
    assert set(nodes["BulkInferrer"].upstream_nodes) == {"ExampleGen", "Resolver"}
    assert set(nodes["PredictionWriter"].upstream_nodes) == {"BulkInferrer", "ExampleGen", "Resolver"}
    destination = nodes["PredictionWriter"].parameters.parameters["destination"].field_value.string_value
    assert destination == f"{folder}/out.parquet"


def test_the_model_comes_from_the_pipeline_that_trains(folder: Path) -> None:
    inputs = compiled(folder)["Resolver"].inputs.inputs
    queries = {
        channel.artifact_query.type.name: {
            query.type.name: query.name.field_value.string_value for query in channel.context_queries
        }
        for spec in inputs.values()
        for channel in spec.channels
    }
    assert queries == {
        "Model": {"pipeline": "tiny", "node": "tiny.Trainer"},
        "PushedModel": {"pipeline": "tiny", "node": "tiny.Pusher"},
        "Schema": {"pipeline": "tiny", "node": "tiny.SchemaGen"},
    }


def test_a_table_needs_no_label_and_is_never_taken_from_the_cache(folder: Path) -> None:
    nodes = compiled(folder)
    parameters = nodes["ExampleGen"].parameters.parameters
    assert "label" not in parameters
    assert parameters["unneeded"].field_value.string_value == '["late", "note"]'
    assert not any(node.execution_options.caching_options.enable_cache for node in nodes.values())


def test_a_span_is_the_one_that_was_named(folder: Path) -> None:
    parameters = compiled(folder, span=3)["ExampleGen"].parameters.parameters
    assert parameters["newest_span"].field_value.int_value == 3
    with pytest.raises(UsageError, match="no span 5") as caught:
        compiled(folder, span=5)
    assert caught.value.expected == "one of 3, 4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "out.parquet"], "Nothing has run in this workspace yet"),
        (["--output", "out.parquet", "--input", "new.csv", "--span", "3"], "not clear which table"),
        (["--output", "out.csv", "--span", "3"], "ends in .parquet"),
        (["--output", "out.parquet", "--span", "3"], "Nothing has run in this workspace yet"),
        (["--output", "out.parquet", "--span", "3", "--set", "data.input=all.csv"], "no spans"),
    ],
)
def test_what_cannot_be_scored_is_refused_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["score", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
