"""The gateway's own log: one JSON object a line, on stdout. Rows, keys and tokens are never in it."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any

LOG = logging.getLogger("conveyor.gateway")


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON: time, level, logger, event, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log(level: int, event: str, *, failure: BaseException | None = None, **fields: Any) -> None:
    """Writes a line.

    Args:
      level: a level of `logging`.
      event: the event.
      failure: the exception whose traceback is written, too.
      fields: further fields of the line.
    """
    LOG.log(level, event, exc_info=failure, extra={"fields": fields})


def configure() -> None:
    """Sends the logs of the gateway and of uvicorn to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO)
