"""How model servers go from one set of versions to another without a request that fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from serving.rollout.server import ModelServer, available
from serving.rollout.state import Placement

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
