"""Nodes become tasks, alone or in groups, in an order in which each has what it waits for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.kubeflow.groups import NodeGroup, group_nodes

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
