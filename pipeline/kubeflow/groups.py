"""Which nodes share a pod, and in which order pods run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """A pod's work.

    Attributes:
      name: of the node, or of the group of nodes.
      nodes: ids, in the order in which they run.
      upstream: names of the tasks that it waits for.
    """

    name: str
    nodes: tuple[str, ...]
    upstream: tuple[str, ...]

    @property
    def component(self) -> str:
        """The name as Kubeflow knows it, with underscores: `example_gen`."""
        return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()).strip("_")


def tasks_of(upstream: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]]) -> list[Task]:
    """Divides a pipeline's nodes among tasks.

    Args:
      upstream: the nodes in the order of the pipeline, each with the nodes it waits for.
      groups: nodes that share a task, by the name of the group.

    Returns:
      The tasks, each after those that it waits for.

    Raises:
      ConfigError: a group names a node that is not there or is in another group, has the name of a node or of another group,
        or holds a node that waits, through others outside, for one of the group.
    """
    _check_names(upstream, groups)
    task_of = {node: name for name, nodes in groups.items() for node in nodes}
    members: dict[str, list[str]] = {}
    for node in upstream:
        members.setdefault(task_of.get(node, node), []).append(node)
    waits = {
        name: list(dict.fromkeys(task_of.get(other, other) for node in nodes for other in upstream[node]))
        for name, nodes in members.items()
    }
    waits = {name: [other for other in others if other != name] for name, others in waits.items()}
    done: dict[str, Task] = {}
    while len(done) < len(members):
        ready = [name for name in members if name not in done and all(other in done for other in waits[name])]
        if not ready:
            raise _in_a_circle(groups, done)
        name = ready[0]
        done[name] = Task(name, tuple(members[name]), tuple(waits[name]))
    return list(done.values())


def _check_names(upstream: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]]) -> None:
    seen: dict[str, str] = {}
    components = {Task(node, (), ()).component: node for node in upstream} | {"finish": "the exit task"}
    for group, nodes in groups.items():
        component = Task(group, (), ()).component
        if component in components or not component:
            raise ConfigError(
                f"The group {group!r} cannot have this name.",
                where=f"kubeflow.groups.{group}",
                expected="a name that no node and no other group has",
                seen=f"{group}, as is {components[component]}" if component else group,
                fix="name the group for what its nodes do together",
            )
        components[component] = f"the group {group}"
        for node in nodes:
            if node not in upstream:
                close = difflib.get_close_matches(node, upstream, n=1)
                raise ConfigError(
                    f"The group {group!r} names a node that the pipeline does not have.",
                    where=f"kubeflow.groups.{group}",
                    expected=", ".join(upstream),
                    seen=node,
                    fix=f"did you mean {close[0]!r}?" if close else "name nodes of the pipeline",
                )
            if node in seen:
                raise ConfigError(
                    f"{node} is in a group twice.",
                    where=f"kubeflow.groups.{group}",
                    expected="each node in one group at the most, once",
                    seen=f"{node} in {seen[node]} and in {group}",
                )
            seen[node] = group


def _in_a_circle(groups: Mapping[str, Sequence[str]], done: Mapping[str, Task]) -> ConfigError:
    stuck = [group for group in groups if group not in done]
    return ConfigError(
        f"The groups {', '.join(stuck)} cannot run." if len(stuck) > 1 else f"The group {stuck[0]!r} cannot run.",
        where="kubeflow.groups",
        expected="neighbours: no node outside waits for one of a group while another of the group waits for it",
        seen="; ".join(f"{group}: {', '.join(groups[group])}" for group in stuck),
        fix="put the nodes between them into the group too, or take one of its ends out",
    )
