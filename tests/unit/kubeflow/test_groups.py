"""Nodes become tasks, alone or in groups, in an order in which each has what it waits for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Kubeflow
from pipeline.errors import ConfigError
from pipeline.kubeflow.groups import NodeGroup, choose_groups, group_nodes, groups_of

UPSTREAM = {
    "ExampleGen": [],
    "StatisticsGen": ["ExampleGen"],
    "SchemaGen": ["StatisticsGen"],
    "ExampleValidator": ["StatisticsGen", "SchemaGen"],
    "Transform": ["ExampleGen", "SchemaGen", "ExampleValidator"],
    "Resolver": [],
    "Trainer": ["Transform"],
    "Evaluator": ["ExampleGen", "Trainer", "Resolver"],
}


def test_without_groups_each_node_is_a_task():
    groups = group_nodes(UPSTREAM, {})

    assert [group.nodes for group in groups] == [(node,) for node in UPSTREAM]
    assert {group.name: list(group.upstream) for group in groups} == UPSTREAM


def test_a_group_waits_for_what_its_nodes_wait_for_outside_it():
    groups = {
        group.name: group for group in group_nodes(UPSTREAM, {"data": ["SchemaGen", "StatisticsGen", "ExampleValidator"]})
    }

    assert groups["data"] == NodeGroup("data", ("StatisticsGen", "SchemaGen", "ExampleValidator"), ("ExampleGen",))
    assert groups["Transform"].upstream == ("ExampleGen", "data")


@pytest.mark.parametrize(
    ("name", "component"), [("ExampleGen", "example_gen"), ("my data!", "my_data"), ("InfraValidator", "infra_validator")]
)
def test_names_as_kubeflow_knows_them(name, component):
    assert NodeGroup(name, (), ()).component == component


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"data": ["ExampelGen"]}, "Did you mean 'ExampleGen'"),
        ({"data": ["ExampleGen"], "more": ["ExampleGen"]}, "ExampleGen is in a group twice"),
        ({"data": ["ExampleGen", "ExampleGen"]}, "ExampleGen is in a group twice"),
        ({"Trainer": ["ExampleGen"]}, "cannot have this name"),
        ({"example-gen": ["ExampleGen"]}, "cannot have this name"),
        ({"finish": ["ExampleGen"]}, "the exit task"),
        ({"a b": ["ExampleGen"], "a-b": ["Trainer"]}, "the group a b"),
        ({"!!": ["ExampleGen"]}, "cannot have this name"),
        ({"ends": ["ExampleGen", "Transform"]}, "The group 'ends' cannot run"),
    ],
)
def test_groups_that_cannot_be(groups, message):
    with pytest.raises(ConfigError) as raised:
        group_nodes(UPSTREAM, groups)

    assert message in str(raised.value)


@given(st.data())
def test_no_task_runs_before_what_it_waits_for(data):
    size = data.draw(st.integers(1, 8))
    nodes = [f"N{number}" for number in range(size)]
    upstream = {
        node: data.draw(st.lists(st.sampled_from(nodes[:at]), unique=True)) if at else [] for at, node in enumerate(nodes)
    }
    labels = [data.draw(st.sampled_from(["", "one", "two"])) for _ in nodes]
    groups = {label: [node for node, own in zip(nodes, labels, strict=True) if own == label] for label in {*labels} - {""}}
    try:
        divided = group_nodes(upstream, groups)
    except ConfigError:
        return  # a group with a way out and back in
    assert sorted(node for group in divided for node in group.nodes) == sorted(nodes)
    done: list[str] = []
    for group in divided:
        assert {name for node in group.nodes for name in upstream[node]} <= {*done, *group.nodes}
        done += group.nodes


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({}, [tuple(UPSTREAM)]),
        (
            {"Trainer": {"memory_limit": "16Gi"}},
            [
                ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
                ("Trainer",),
                ("Resolver", "Evaluator"),
            ],
        ),
        (
            {"ExampleGen": {"cpu_request": "2"}},
            [
                ("ExampleGen",),
                ("StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Resolver", "Trainer", "Evaluator"),
            ],
        ),
        ({node: {} for node in UPSTREAM}, [(node,) for node in UPSTREAM]),
    ],
)
def test_nodes_without_resources_of_their_own_share_pods(nodes: dict[str, Any], expected: list[tuple[str, ...]]) -> None:
    kubeflow = Kubeflow.model_validate({"nodes": nodes})

    found = group_nodes(UPSTREAM, groups_of(kubeflow, UPSTREAM))

    assert [group.nodes for group in found] == expected


def test_a_group_is_named_by_its_first_and_its_last_node():
    kubeflow = Kubeflow.model_validate({"nodes": {"Trainer": {}}})

    groups = group_nodes(UPSTREAM, groups_of(kubeflow, UPSTREAM))

    assert [group.name for group in groups] == ["ExampleGen to Transform", "Trainer", "Resolver to Evaluator"]
    assert groups[0].component == "example_gen_to_transform"


def test_the_tuner_is_alone():
    upstream = {**UPSTREAM, "Tuner": ["Transform"], "Trainer": ["Transform", "Tuner"], "Evaluator": ["Trainer", "Resolver"]}
    in_order = {node: upstream[node] for node in (*list(UPSTREAM)[:5], "Tuner", *list(UPSTREAM)[5:])}

    groups = group_nodes(in_order, groups_of(Kubeflow(), in_order))

    assert [group.nodes for group in groups][1:] == [("Tuner",), ("Resolver", "Trainer", "Evaluator")]


@pytest.mark.parametrize("groups", [None, {}])
def test_each_node_may_have_a_pod_of_its_own(groups: dict[str, Any] | None) -> None:
    assert len(group_nodes(UPSTREAM, groups_of(Kubeflow.model_validate({"groups": groups}), UPSTREAM))) == len(UPSTREAM)


@given(st.data())
def test_chosen_groups_run_in_any_graph(data):
    size = data.draw(st.integers(1, 9))
    nodes = [f"N{number}" for number in range(size)]
    upstream = {
        node: data.draw(st.lists(st.sampled_from(nodes[:at]), unique=True)) if at else [] for at, node in enumerate(nodes)
    }
    alone = data.draw(st.sets(st.sampled_from(nodes)))

    groups = group_nodes(upstream, choose_groups(upstream, alone))

    assert sorted(node for group in groups for node in group.nodes) == sorted(nodes)
    assert all(len(group.nodes) == 1 for group in groups if alone & {*group.nodes})
    assert len(groups) <= 2 * len(alone) + 1
