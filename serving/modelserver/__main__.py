"""`python -m serving.modelserver`: the model server as a program."""

from __future__ import annotations

import logging
import os
import signal
import sys
from threading import Event
from types import FrameType

from pipeline.errors import ConveyorError
from serving import tracing
from serving.connections import allow_many_connections
from serving.modelserver.flags import Flags, parse_flags


def main() -> int:
    """Serves until SIGTERM or SIGINT; a second signal ends the process at once.

    Returns:
      The exit status.
    """
    flags = parse_flags()
    try:
        flags.check()
        return _serve(flags)
    except ConveyorError as error:
        print(f"Failed to start server. {error.headline}: {error}", file=sys.stderr)
        return error.exit_code


def _serve(flags: Flags) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", stream=sys.stderr)
    # Their messages about starting, restoring and deprecations do not help to run a server.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for name in flags.ignored:
        logging.warning("--%s has no meaning here and is ignored.", name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    allow_many_connections()
    tracing.configure("conveyor-model-server")

    from serving.modelserver.server import ModelServer
    from serving.modelserver.status import StatusError

    stopping = Event()
    server = ModelServer(flags)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()
        server.interrupt()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server.start()
    except StatusError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1
    stopping.wait()
    logging.info("Stopping: requests under way are finished first.")
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
