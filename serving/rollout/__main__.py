"""Writes models.config for a model server that is about to start elsewhere: `python -m serving.rollout CONFIG WORKSPACE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.loading import load_config
from pipeline.errors import ConveyorError
from serving.rollout import prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the path of the file.

    Args:
      arguments: the command line without the program's name; the process's own when not given.

    Returns:
      The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m serving.rollout", description="Writes models.config for a model server.")
    parser.add_argument("config", type=Path, help="The configuration of the pipeline whose models are served.")
    parser.add_argument("workspace", type=Path, help="The folder with everything that runs create.")
    given = parser.parse_args(arguments)
    try:
        print(prepare(load_config(given.config, [f"workspace={given.workspace}"])))
    except ConveyorError as error:
        print(f"{error.headline}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
