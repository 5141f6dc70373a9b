"""TFX's Pusher with version folders that appear whole or not at all."""

from __future__ import annotations

from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import BaseChannel

from components.pusher.executor import Executor
from pipeline.errors import ConfigError


class AtomicPusher(Pusher):
    """Pushes a blessed model into the folder that a model server watches.

    Unlike TFX's own, a version appears in one rename when it is complete, versions count 1, 2, 3 … instead of naming
    the second, and two pushes in one second are two versions. Specification, output and properties are TFX's.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        destination: str,
        model_blessing: BaseChannel | None = None,
        infra_blessing: BaseChannel | None = None,
    ) -> None:
        """Makes the node.

        Args:
          model: the candidate, a `Model`.
          destination: the serving folder, on a local or mounted file system.
          model_blessing: the Evaluator's verdict, a `ModelBlessing`; not asked when None.
          infra_blessing: the InfraValidator's verdict, an `InfraBlessing`; not asked when None.

        Raises:
          ConfigError: `destination` is a URL: object stores have no rename, so nothing there appears at once.
        """
        if "://" in destination:
            raise ConfigError(
                "Models cannot be pushed to a URL.",
                where="push.destination",
                expected="a folder on a local or mounted file system, where a version can appear at once",
                seen=destination,
                fix="mount the storage, and name the folder it is mounted on",
            )
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=destination)
            ),
        )
