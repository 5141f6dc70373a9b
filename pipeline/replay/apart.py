"""A replay where the log and the models are: `python -m pipeline.replay.apart` is asked and answers by JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, TypeAdapter

from pipeline.config.loading import build_config
from pipeline.errors import ConveyorError
from pipeline.monitoring.moments import Period
from pipeline.monitoring.sources import log_of
from pipeline.replay.model_server import NICENESS, model_server
from pipeline.replay.replay import Replayed, replay
from pipeline.util.signals import Interruption, interruptible


class Order(BaseModel):
    """What is to be replayed.

    Attributes:
      config: the pipeline's configuration, with the paths of the place.
      files: the content of the files that it names, by their names.
      versions: the stable version and the candidate.
      since: the rows that were logged since then,
      until: and before.
      min_rows: the rows that each must have answered to be judged.
      timeout: seconds for the model server to load the versions.
    """

    config: dict[str, Any]
    files: dict[str, str]
    versions: tuple[int, int]
    since: datetime | None
    until: datetime | None
    min_rows: int
    timeout: float


def parse(answer: str) -> Replayed:
    """What a replay has shown, by what it has printed."""
    return TypeAdapter(Replayed).validate_json(answer)


def _replayed(order: Order, folder: Path) -> Replayed:
    for name, text in order.files.items():
        (folder / name).write_text(text)
    config = build_config(order.config, folder)
    period = Period(order.since, order.until)
    with model_server(config, order.versions, order.timeout) as server:
        return replay(config, server, order.versions, log_of(config), period, min_rows=order.min_rows)


def main() -> int:
    """Carries out the order on standard input; returns the exit code, which is that of the error if there is one."""
    order = Order.model_validate_json(sys.stdin.read())
    os.nice(NICENESS)
    try:
        # The answer alone goes to stdout.
        with TemporaryDirectory() as folder, redirect_stdout(sys.stderr), interruptible():
            found = _replayed(order, Path(folder))
    except ConveyorError as error:
        print(f"{error.headline}: {error}", file=sys.stderr)
        return error.exit_code
    except Interruption as interruption:
        return interruption.exit_code
    print(json.dumps(found.document(), default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
