"""Commands about what is on the volume, carried out where the volume is: in the pod `conveyor-shell-0`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.util.programs import READ_SECONDS

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# Python's own output alone goes to stdout. The pod's user has no name, so that of the person is taken along. Others may be at
# work in the pod, so the file is one of this command alone.
_SCRIPT = """\
folder=$(mktemp -d) || exit
trap 'rm -rf "$folder"' EXIT
cat > "$folder/pipeline.yaml" || exit
LOGNAME=$0
export LOGNAME
python -m pipeline.cli.main "$@" "$folder/pipeline.yaml"
"""


def in_shell(config: PipelineConfig, *command: str) -> str:
    """What a command prints there that takes the configuration as its last argument.

    Args:
      config: the pipeline's configuration, on this machine.
      command: the command and its other arguments.

    Raises:
      ConveyorError: the cluster does not answer, or the command fails.
    """
    import yaml

    from pipeline.cli.serving_target import user_name
    from pipeline.kubeflow.loop_objects import config_of_loop

    there = yaml.safe_dump(config_of_loop(config)[0])
    return ask_shell(config, "sh", "-c", _SCRIPT, user_name(), *command, input=there)


def ask_shell(config: PipelineConfig, *command: str, input: str, seconds: float = READ_SECONDS) -> str:
    """What a program prints there.

    Args:
      config: the pipeline's configuration, on this machine.
      command: the program and its arguments.
      input: its standard input.
      seconds: how long it may take.

    Raises:
      ConveyorError: the cluster does not answer, or the program fails.
    """
    from rich.console import Console

    from pipeline.cluster.preflight import open_kubectl
    from serving.rollout.model_folder import SHELL

    kubectl = open_kubectl(config.kubeflow.context, config.kubeflow.namespace, Console(stderr=True, highlight=False))
    return kubectl.read("exec", "--stdin", SHELL, "--", *command, input=input, timeout=seconds)
