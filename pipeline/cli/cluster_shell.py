"""Commands about what is on the volume, carried out where the volume is: in the pod `conveyor-shell`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# Python's own output alone goes to stdout. The pod's user has no name, so that of the person is taken along.
_SCRIPT = 'cat > "$0" && LOGNAME="$1" && export LOGNAME && shift && exec python -m pipeline.cli.main "$@" "$0"'


def in_shell(config: PipelineConfig, *command: str) -> str:
    """What a command prints there that takes the configuration as its last argument.

    Args:
      config: the pipeline's configuration, on this machine.
      command: the command and its other arguments.

    Raises:
      ConveyorError: the cluster does not answer, or the command fails.
    """
    import yaml
    from rich.console import Console

    from pipeline.cluster.preflight import open_kubectl
    from pipeline.kubeflow.loop_objects import config_of_loop
    from serving.rollout.model_folder import SHELL

    kubectl = open_kubectl(config.kubeflow.context, config.kubeflow.namespace, Console(stderr=True, highlight=False))
    path = f"/tmp/{config.name}-{command[0]}.yaml"
    arguments = ("exec", "--stdin", SHELL, "--", "sh", "-c", _SCRIPT, path, getpass.getuser(), *command)
    return kubectl.read(*arguments, input=yaml.safe_dump(config_of_loop(config)[0]))
