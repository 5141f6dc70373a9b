"""Where a rollout happens: on this machine, or in a cluster. The steps are the same, and so is their order."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

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
