"""The place of a rollout, on this machine or in a cluster, and the steps that are the same in both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from serving.rollout.model_servers import RunningServer, available
from serving.rollout.placement import Placement
from serving.rollout.state import RolloutState
from serving.rollout.versions import PushedVersion


class RolloutTarget(Protocol):
    """A place with models, model servers and gateways, and the state of the rollout."""

    model: str
    """The model's name."""
    place: str
    """The target's name: `local` or `cluster`."""
    follow_seconds: float
    """The time in which gateways see a new state."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps others from changing the rollout; where that is impossible, `write` notices that they did."""

    def read(self) -> RolloutState:
        """The state; an empty one where there was no rollout.

        Raises:
          ConveyorError: the state cannot be read.
        """

    def write(self, state: RolloutState) -> None:
        """Replaces the state that `read` returned. From now on, gateways divide the traffic by it.

        Raises:
          ConveyorError: the state cannot be written, or somebody else has changed it since.
        """

    def versions(self) -> list[PushedVersion]:
        """The versions on the disk, in ascending order."""

    def digest(self, version: int) -> str:
        """The digest of a version's model; empty where an earlier release has written it, or where it is not there.

        Raises:
          ConveyorError: whether it has one cannot be found out.
        """

    def servers(self) -> dict[str, list[int]]:
        """The versions that each model server answers with, by its name; servers that do not answer are left out."""

    def silent(self, answering: Collection[str]) -> list[str]:
        """The model servers and gateways that are there, beside those that answer, by their names."""

    def drift(self, placement: Placement) -> str:
        """The difference from a placement, as a sentence; empty without one."""

    def expand(self, before: Placement, after: Placement) -> None:
        """Makes model servers ready for a placement, while gateways still follow the one before it.

        During it and afterwards, every request that gateways make by either placement is answered.

        Raises:
          ConveyorError: a version cannot be loaded, or not in time.
        """

    def settle(self, placement: Placement) -> None:
        """Unloads the versions that a placement does not need, when no gateway asks for them any more.

        Raises:
          ConveyorError: gateways go on asking.
        """

    def pages(self) -> dict[str, str]:
        """The metrics pages of the gateways that are there, by gateway; empty of one that does not answer."""

    def delete(self, versions: Collection[int]) -> None:
        """Deletes versions from the disk, and what is left of earlier ones.

        Raises:
          ConveyorError: a version cannot be deleted.
        """


Configure = Callable[[Collection[int], Mapping[str, int]], None]
"""Writes the servers' models.config: the versions to load (empty: the newest), and the version that each label names."""


def move(servers: Sequence[RunningServer], before: Placement, after: Placement, configure: Configure, timeout: float) -> None:
    """Makes servers load the versions that a placement needs, and then moves the labels; nothing is unloaded.

    A model server refuses a label for a version that it has not loaded, and reads its configuration at times of its own. So
    each step waits until every server has taken over the one before it.

    Args:
      servers: the running servers; all of them read the configuration.
      before: the present placement.
      after: the placement to come.
      configure: writes the configuration.
      timeout: seconds for each step.

    Raises:
      ServingError: a version cannot be loaded, or a server does not take over the configuration in time.
    """
    known = [server.versions() or {} for server in servers]
    loaded = {number for versions in known for number in available(versions)}
    # After an interrupted command, labels that the servers have not taken over yet would be refused.
    labels = {label: version for label, version in before.labels.items() if version in loaded}
    union = {*after.serving, *(before.serving or loaded)} if after.serving else set()
    configure(union, labels)
    for server, versions in zip(servers, known, strict=True):
        server.wait_until_loaded(after.serving, timeout, versions)
    configure(union, after.labels)
    for server in servers:
        server.wait_until_labelled(after.labels, timeout)
