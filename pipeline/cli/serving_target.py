"""The target of `conveyor predict`, `rollout`, `rollback` and `models`: this machine, or the cluster."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.util.hosts import bracketed
from serving import GRPC_PORT

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from serving.rollout.controller import Rollout
    from serving.rollout.model_folder import Versions
    from serving.rollout.objects import Objects
    from serving.rollout.state import RolloutChange, RolloutState
    from serving.rollout.target import RolloutTarget


class Target(str, Enum):
    """The values of `--target`."""

    LOCAL = "local"
    CLUSTER = "cluster"


TargetOption = Annotated[Target, typer.Option("--target", help="This machine, or the cluster that kubeflow.context names.")]
ServerOption = Annotated[str, typer.Option("--server", metavar="HOST:PORT", help="local: where the model server answers gRPC.")]
GatewayOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gateway",
        metavar="URL",
        help="local: a gateway whose metrics are read; that of the configuration when not given. Repeatable.",
        show_default=False,
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=1,
        help="For a model server to load a version, or to move a label. Default: 120; in the cluster 600.",
        show_default=False,
    ),
]
RowsOption = Annotated[
    int,
    typer.Option("--min-rows", metavar="N", min=1, help="Rows that stable version and canary must each have answered."),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept with the change.", show_default=False)
]

DEFAULT_SERVER, DEFAULT_ROWS = f"localhost:{GRPC_PORT}", 500


def tell(text: str) -> None:
    """Prints a message beside the output of a command."""
    typer.echo(text, err=True)


def open_target(
    config: PipelineConfig, target: Target, server: str, gateways: list[str] | None, timeout: float | None
) -> RolloutTarget:
    """Opens the target. For the cluster, makes sure that it answers.

    Raises:
      ConveyorError: the cluster does not answer.
    """
    if target is Target.LOCAL:
        from serving.rollout.local import LocalTarget
        from serving.rollout.model_servers import RunningServer

        return LocalTarget(config, RunningServer(server, config.name), gateways or [_gateway(config)], tell, timeout or 120.0)

    from pipeline.cluster.install import SERVING_NAMESPACE
    from serving.rollout.api_objects import ACCOUNT, ApiObjects, has_account
    from serving.rollout.cluster import ClusterTarget
    from serving.rollout.model_folder import ModelFolder, ShellFolder

    objects: Objects
    models: Versions = ModelFolder(config.serving_path)
    if has_volume(config) and has_account():
        objects = ApiObjects(SERVING_NAMESPACE, ACCOUNT)
    else:
        from rich.console import Console

        from pipeline.cluster.preflight import open_kubectl
        from serving.rollout.objects import KubectlObjects

        kubectl = open_kubectl(config.kubeflow.context, SERVING_NAMESPACE, Console(stderr=True, highlight=False))
        objects = KubectlObjects(kubectl)
        if not has_volume(config):
            models = ShellFolder(kubectl.within(config.kubeflow.namespace), _models(config, target))
    return ClusterTarget(config.name, objects, models, tell, timeout or 600.0)


def has_volume(config: PipelineConfig) -> bool:
    """Whether the workspace is the volume of the runs, as in pods of the cluster."""
    return config.workspace_path == Path(config.kubeflow.mount_path) and config.workspace_path.is_dir()


def open_rollout(config: PipelineConfig, target: RolloutTarget, min_rows: int = DEFAULT_ROWS) -> Rollout:
    """The rollout on a target, in the name of the person who runs this command.

    Its changes are told to `events.url`, and to the tracking server, if one is configured.

    Args:
      config: the pipeline's configuration.
      target: the target.
      min_rows: the rows that stable version and canary must each have answered before the canary is judged.
    """
    from serving.rollout.controller import Rollout

    def changed(state: RolloutState) -> None:
        change = state.changes[-1]
        _announce(config, target, change)
        if change.before != change.after:
            aliases_follow(config, Target(target.place))(state)

    return Rollout(target, who(), tell, min_rows, changed)


def _announce(config: PipelineConfig, target: RolloutTarget, change: RolloutChange) -> None:
    from pipeline.util.events import EventType, post

    kinds = {
        "adopt": EventType.VERSION_ADOPTED,
        "replay": EventType.VERSION_REPLAYED,
        "start": EventType.VERSION_STARTED,
        "step": EventType.VERSION_STEPPED,
        "promote": EventType.VERSION_PROMOTED,
        "abort": EventType.VERSION_ABORTED,
        "rollback": EventType.VERSION_ROLLED_BACK,
    }
    if change.action in kinds:
        data = {"target": target.place, **change.model_dump(mode="json")}
        post(config.events.url, kinds[change.action], config.name, str(change.versions[0]), data)


def aliases_follow(config: PipelineConfig, target: Target) -> Callable[[RolloutState], None]:
    """A function that tells the tracking server, if one is configured, which versions a new state gives traffic.

    Args:
      config: the pipeline's configuration.
      target: where the versions serve.
    """
    from pipeline.tracking import track_rollout

    def follow(state: RolloutState) -> None:
        if problem := track_rollout(config, _models(config, target), state.stable, state.canary):
            tell(f"Not tracked: {problem}")

    return follow


def _models(config: PipelineConfig, target: Target) -> str:
    """The serving folder, as the model servers of a target have it."""
    there = config if target is Target.LOCAL else config.model_copy(update={"workspace": config.kubeflow.mount_path})
    return str(there.serving_path)


def who() -> str:
    """The person who runs this command, as user@machine."""
    return f"{user_name()}@{socket.gethostname()}"


def user_name() -> str:
    """The name of the person who runs this command; the number where there is no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _gateway(config: PipelineConfig) -> str:
    host = config.gateway.host
    here = "localhost" if host in ("0.0.0.0", "127.0.0.1", "::") else bracketed(host)
    return f"http://{here}:{config.gateway.port}"
