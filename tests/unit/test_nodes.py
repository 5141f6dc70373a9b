"""The registry of nodes is complete, and it alone names nodes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipeline import nodes
from pipeline.config.loading import load_config
from pipeline.graph import create_pipeline
from pipeline.kubeflow.pod import dashboard
from pipeline.parameters import parameters_of
from pipeline.report.html import sections
from pipeline.scoring import create_scoring_pipeline
from pipeline.util import checkout

FLIGHTS = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"
CONFIGURATIONS = (
    (),
    ("tuner.enabled=true",),
    ("tuner.enabled=false", "tuner.reuse=true"),
    ("schema.path=null",),
    ("infra_validator.enabled=false",),
)


@pytest.mark.parametrize("overrides", CONFIGURATIONS)
def test_every_node_of_a_graph_is_in_the_registry_with_outputs_that_it_has(overrides: tuple[str, ...]) -> None:
    config = load_config(FLIGHTS, ["workspace=/conveyor", *overrides])

    ir = Compiler().compile(create_pipeline(config))

    made = {entry.pipeline_node.node_info.id: set(entry.pipeline_node.outputs.outputs) for entry in ir.nodes}
    for node_id, outputs in made.items():
        node = nodes.NODES[node_id]
        # TFX's compiler declares no outputs for a resolver.
        assert node.resolution or set(node.outputs) <= outputs
        if node.resolution:
            assert node.resolution.reader in made


def test_the_scoring_pipeline_is_in_the_registry() -> None:
    config = load_config(FLIGHTS, ["workspace=/conveyor"])

    ir = Compiler().compile(create_scoring_pipeline(config, "/table.csv", "/scored.parquet"))

    assert {entry.pipeline_node.node_info.id for entry in ir.nodes} <= nodes.NODES.keys()


def test_what_the_registry_names_exists() -> None:
    parameters = parameters_of(load_config(FLIGHTS, ["workspace=/conveyor"]))

    for node in nodes.NODES.values():
        assert set(node.sections) <= sections._SECTIONS.keys()
        assert node.scalars in {"", *dashboard._SCALARS}
        assert set(node.parameters) <= {"span", *parameters}


def test_no_other_module_spells_out_a_node() -> None:
    spelled = [
        f"{path.relative_to(checkout.ROOT)}:{number}: {text}"
        for path in sorted((checkout.ROOT / "pipeline").rglob("*.py"))
        if path != Path(nodes.__file__)
        for number, text in _strings(ast.parse(path.read_text()))
        if text in nodes.NODES
    ]

    assert spelled == []


def _strings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The string literals of a module but for `__all__`, where a section of the configuration may be called like its node."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            continue
        for found in ast.walk(statement):
            if isinstance(found, ast.Constant) and isinstance(found.value, str):
                yield found.lineno, found.value
