"""Where a rollout happens: on this machine, or in a cluster. The steps are the same, and so is their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from serving.rollout.model_servers import ModelServer, available
from serving.rollout.state import Placement, RolloutState
from serving.rollout.versions import Version


class Target(Protocol):
    """A place with models, model servers and gateways, and the state of the rollout."""

    model: str
    """The model's name."""
    place: str
    """What people call the target: `local` or `cluster`."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps others from changing what serves; where that cannot be, `write` finds out that they did."""

    def read(self) -> RolloutState:
        """The state; the empty one where there was no rollout.

        Raises:
          ConveyorError: it cannot be read.
        """

    def write(self, state: RolloutState) -> None:
        """Replaces the state that `read` returned. From now on, gateways divide the traffic by it.

        Raises:
          ConveyorError: it cannot be written, or somebody else has changed it since.
        """

    def versions(self) -> list[Version]:
        """The versions on the disk, in ascending order."""

    def servers(self) -> dict[str, list[int]]:
        """The versions that each model server answers with, by its name; servers that do not answer are left out."""

    def drift(self, placement: Placement) -> str:
        """What is not as a placement wants it, in a sentence; empty if all is."""

    def expand(self, before: Placement, after: Placement) -> None:
        """Makes model servers ready for a placement, while gateways still follow the one before it.

        Every request that gateways make by either placement is answered, during it and afterwards.

        Raises:
          ConveyorError: a version cannot be loaded, or not in time.
        """

    def settle(self, placement: Placement) -> None:
        """Unloads what a placement does not need, when no gateway asks for it any more.

        Raises:
          ConveyorError: gateways go on asking.
        """

    def pages(self) -> dict[str, str]:
        """The metrics pages of the gateways that answer, by gateway."""

    def delete(self, versions: Collection[int]) -> None:
        """Deletes versions from the disk.

        Raises:
          ConveyorError: that cannot be done.
        """


Configure = Callable[[Collection[int], Mapping[str, int]], None]
"""Has the servers' models.config say which versions to load (none: the newest), and which version each label names."""


def move(servers: Sequence[ModelServer], before: Placement, after: Placement, configure: Configure, timeout: float) -> None:
    """Has servers load what a placement needs, and then moves the labels; nothing is unloaded.

    A model server refuses a label for a version that it has not loaded, and reads its configuration when it likes. So each step
    waits until every server has taken the one before it.

    Args:
      servers: that run; all of them read the configuration.
      before: what they serve.
      after: what they are to serve.
      configure: writes the configuration.
      timeout: seconds for each step.

    Raises:
      ServingError: a version cannot be loaded, or a server does not take the configuration in time.
    """
    known = [server.versions() or {} for server in servers]
    loaded = {number for versions in known for number in available(versions)}
    # Labels that the servers have not taken yet, after a command that was cut off, would be refused.
    labels = {label: version for label, version in before.labels.items() if version in loaded}
    union = {*after.serving, *(before.serving or loaded)} if after.serving else set()
    configure(union, labels)
    for server, versions in zip(servers, known, strict=True):
        server.wait_until_loaded(after.serving, timeout, versions)
    configure(union, after.labels)
    for server in servers:
        server.wait_until_labelled(after.labels, timeout)
