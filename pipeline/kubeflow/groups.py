"""Which nodes share a pod, and in which order pods run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import nodes
from pipeline.errors import ConfigError
from pipeline.kubeflow.pod.names import component_name
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipeline.config.kubeflow import Kubeflow

# They work for as long as many trainings.
_LONG = (nodes.TUNER.id,)


@dataclass(frozen=True)
class NodeGroup:
    """The nodes that share a pod: a group of the configuration, or a single node.

    Attributes:
      name: the name of the group or the node.
      nodes: the ids of the nodes, in the order in which they run.
      upstream: the names of the groups that it waits for.
    """

    name: str
    nodes: tuple[str, ...]
    upstream: tuple[str, ...]

    @property
    def component(self) -> str:
        """The name as Kubeflow writes it, with underscores: `example_gen`."""
        return component_name(self.name)


def groups_of(kubeflow: Kubeflow, upstream: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """The nodes that share a pod, by the name of their group: as configured, or as chosen.

    A node with resources of its own is not put into a group: its pod would not be like the others.

    Args:
      kubeflow: how nodes run as pods.
      upstream: the nodes in the order of the pipeline, each with the nodes that it waits for.
    """
    if kubeflow.groups == "auto":
        return choose_groups(upstream, {*kubeflow.nodes, *_LONG})
    return kubeflow.groups or {}


def choose_groups(upstream: Mapping[str, Sequence[str]], alone: Collection[str]) -> dict[str, list[str]]:
    """Puts nodes into as few groups as can run one after another, with the nodes that are to be alone between them.

    Args:
      upstream: the nodes in the order of the pipeline, each with the nodes that it waits for.
      alone: nodes that get no group.

    Returns:
      The groups, named by their first and their last node. A node that would be a group of its own is in none.
    """
    stages: dict[str, int] = {}
    for node, others in upstream.items():
        stages[node] = max((stages[other] + (other in alone) for other in others), default=0)
    # A node that others only wait for later is put beside them: a resolver beside the Evaluator.
    for node in reversed(list(upstream)):
        after = [stages[other] for other, before in upstream.items() if node in before]
        if node not in alone and after:
            stages[node] = min(after)
    members: dict[int, list[str]] = {}
    for node in upstream:
        if node not in alone:
            members.setdefault(stages[node], []).append(node)
    return {f"{group[0]} to {group[-1]}": group for group in members.values() if len(group) > 1}


def group_nodes(upstream: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]]) -> list[NodeGroup]:
    """Divides a pipeline's nodes among pods.

    Args:
      upstream: the nodes in the order of the pipeline, each with the nodes that it waits for.
      groups: the nodes that share a pod, by the name of their group.

    Returns:
      The groups, each after those that it waits for; nodes in no group are groups of their own.

    Raises:
      ConfigError: a group names a node that does not exist or is in another group, has the name of a node or of another group,
        or waits, through nodes outside, for itself.
    """
    _check_names(upstream, groups)
    group_of = {node: name for name, nodes in groups.items() for node in nodes}
    members: dict[str, list[str]] = {}
    for node in upstream:
        members.setdefault(group_of.get(node, node), []).append(node)
    waits = {
        name: list(dict.fromkeys(group_of.get(other, other) for node in nodes for other in upstream[node]))
        for name, nodes in members.items()
    }
    waits = {name: [other for other in others if other != name] for name, others in waits.items()}
    done: dict[str, NodeGroup] = {}
    while len(done) < len(members):
        ready = [name for name in members if name not in done and all(other in done for other in waits[name])]
        if not ready:
            raise _circular(groups, done)
        name = ready[0]
        done[name] = NodeGroup(name, tuple(members[name]), tuple(waits[name]))
    return list(done.values())


def _check_names(upstream: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]]) -> None:
    seen: dict[str, str] = {}
    components = {NodeGroup(node, (), ()).component: node for node in upstream} | {"finish": "the exit task"}
    for group, members in groups.items():
        component = NodeGroup(group, (), ()).component
        if component in components or not component:
            raise ConfigError(
                f"The group {group!r} cannot have this name.",
                where=f"kubeflow.groups.{group}",
                expected="a name that no node and no other group has",
                seen=f"{group}, as is {components[component]}" if component else group,
                fix="Name the group for what its nodes do together.",
            )
        components[component] = f"the group {group}"
        for node in members:
            if node not in upstream:
                raise ConfigError(
                    f"The group {group!r} names a node that the pipeline does not have.",
                    where=f"kubeflow.groups.{group}",
                    expected=", ".join(upstream),
                    seen=node,
                    fix=did_you_mean(node, upstream) or "Name nodes of the pipeline.",
                )
            if node in seen:
                raise ConfigError(
                    f"{node} is in a group twice.",
                    where=f"kubeflow.groups.{group}",
                    expected="each node in at most one group, once",
                    seen=f"{node} in {seen[node]} and in {group}",
                )
            seen[node] = group


def _circular(groups: Mapping[str, Sequence[str]], done: Mapping[str, NodeGroup]) -> ConfigError:
    stuck = [group for group in groups if group not in done]
    return ConfigError(
        f"The groups {', '.join(stuck)} cannot run." if len(stuck) > 1 else f"The group {stuck[0]!r} cannot run.",
        where="kubeflow.groups",
        expected="no node outside a group that waits for one of the group while another of the group waits for it",
        seen="; ".join(f"{group}: {', '.join(groups[group])}" for group in stuck),
        fix="Put the nodes between them into the group too, or take one of its ends out.",
    )
