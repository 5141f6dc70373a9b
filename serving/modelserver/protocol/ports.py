"""Ports, taken before models are loaded: a conflict shows at once, and no other program takes them meanwhile."""

from __future__ import annotations

import socket

from pipeline.errors import UsageError


def reserve(host: str, port: int, flag: str) -> socket.socket:
    """Takes a port without listening on it: until then, connections are refused.

    Args:
      host: the address.
      port: the port's number.
      flag: the flag that names the port, for the error.

    Raises:
      UsageError: the port cannot be taken.
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
            fix=f"End the program that uses it, or choose another {flag}.",
        ) from error
    return reserved
