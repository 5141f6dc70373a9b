"""Addresses of servers."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from pipeline.config.flaws import checked_by
from pipeline.errors import UsageError


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            "This is not an address of a server.",
            expected="a host and a port from 1 to 65535, as in http://localhost:8080",
            seen=str(error),
            fix="Correct the host or the port.",
        ) from error
    if not host or any(letter.isspace() for letter in text):
        raise UsageError(
            "This address names no server.",
            expected="a host behind the scheme, as in http://localhost:8080",
            seen=text,
            fix="Write the host, without spaces.",
        )


def _check_http(text: str) -> None:
    if not text.startswith(("http://", "https://")):
        raise UsageError(
            "This address has no scheme.",
            expected="http:// or https://, a host and possibly a port",
            seen=text,
            fix=f"Write: http://{text.rpartition('://')[2]}",
        )
    _check_url(text)


def _check_host_and_port(text: str) -> None:
    _check_url(f"tcp://{text}")


checked_url = checked_by(_check_url)
"""A validator: the address has a host, and a port that exists if it has one."""

HttpUrl = Annotated[str, Field(json_schema_extra={"pattern": "^https?://.+"}), checked_by(_check_http)]
"""An address of a web server."""

HostAndPort = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:\d{1,5}$", examples=["localhost:8099"]),
    checked_by(_check_host_and_port),
]
"""A server's host and port."""
