"""Ports, taken before models are loaded, so that a conflict is told at once and nobody else gets them meanwhile."""

from __future__ import annotations

import socket

from pipeline.errors import UsageError


def reserve(host: str, port: int, flag: str) -> socket.socket:
    """Takes a port without listening on it: connections are refused until somebody does.

    Args:
      host: the address.
      port: its number.
      flag: that names it, for the error.

    Raises:
      UsageError: it cannot be had.
    """
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise UsageError(
            f"Port {port} cannot be opened.",
            where=f"{flag}, on {host}",
            expected="a free port",
            seen=error.strerror or str(error),
            fix=f"end what uses it, or choose another {flag}",
        ) from error
    return reserved
