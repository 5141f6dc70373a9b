"""What compiling would refuse, found without compiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.config.loading import build_config
from pipeline.kubeflow.compile import _compile
from pipeline.kubeflow.flaws import find_flaws, upstream_of
from pipeline.kubeflow.pod_config import in_cluster

MINIMAL: dict[str, Any] = {"name": "houses", "label": "price", "data": {"input": "{workspace}/houses.csv"}}


def config(**fields: Any) -> PipelineConfig:
    return build_config({**MINIMAL, **fields}, Path())


@pytest.mark.integration
@pytest.mark.parametrize(
    "fields", [{}, {"tuner": {"enabled": True}}, {"tuner": {"reuse": False}, "infra_validator": {"enabled": False}}]
)
def test_the_nodes_and_their_order_are_those_of_the_compiled_pipeline(fields: dict[str, Any]) -> None:
    compiled = _compile(in_cluster(config(**fields)))

    nodes = {entry.pipeline_node.node_info.id: list(entry.pipeline_node.upstream_nodes) for entry in compiled.nodes}
    found = upstream_of(config(**fields))
    assert list(found) == list(nodes)
    assert {name: sorted(others) for name, others in found.items()} == {name: sorted(nodes[name]) for name in nodes}


def test_nothing_is_wrong() -> None:
    groups = {"prepare": ["StatisticsGen", "SchemaGen", "ExampleValidator"]}
    nodes: dict[str, Any] = {"Trainer": {"memory_limit": "16Gi"}, "prepare": {}, "finish": {}}
    assert list(find_flaws(config(kubeflow={"groups": groups, "nodes": nodes}))) == []


@pytest.mark.parametrize(
    ("fields", "field", "fix"),
    [
        ({"kubeflow": {"nodes": {"Trainr": {}}}}, ("kubeflow", "nodes", "Trainr"), "'Trainer'"),
        ({"kubeflow": {"nodes": {"Tuner": {}}}}, ("kubeflow", "nodes", "Tuner"), ""),
        ({"kubeflow": {"groups": {"a": ["Trainr"]}}}, ("kubeflow", "groups", "a"), "'Trainer'"),
        ({"kubeflow": {"groups": {"a": ["Transform", "Evaluator"]}}}, ("kubeflow", "groups"), "nodes between"),
        ({"kubeflow": {}, "data": {"input": "/data/houses.csv"}}, ("data", "input"), "'{workspace}/houses.csv'"),
        ({"kubeflow": {}, "push": {"destination": "/models"}}, ("push", "destination"), "'{workspace}/models'"),
    ],
)
def test_what_compiling_would_refuse(fields: dict[str, Any], field: tuple[str, ...], fix: str) -> None:
    (flaw,) = find_flaws(config(**fields))

    assert flaw.field == field
    assert fix in flaw.fix


def test_a_configuration_without_the_section_is_not_for_a_cluster() -> None:
    assert list(find_flaws(config(data={"input": "/data/houses.csv"}))) == []
