"""Starts a gateway in a pod: `python -m serving.gateway --settings FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConveyorError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until a signal stops it.

    Args:
      arguments: the command line without the program's name; the process's own when not given.

    Returns:
      The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m serving.gateway", description="Serves a model's predictions over HTTP.")
    parser.add_argument("--settings", type=Path, required=True, help="A YAML file with the fields of the section `gateway`.")
    path = parser.parse_args(arguments).settings
    from serving.gateway.server import serve
    from serving.gateway.settings import read_settings

    try:
        serve(read_settings(path))
    except ConveyorError as error:
        print(f"{error.headline}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
