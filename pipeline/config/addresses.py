"""Addresses of servers."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from pipeline.config.flaws import checked_by
from pipeline.errors import UsageError

_USER = re.compile(r"(?<=://)[^/?#\s]*@|[^\s/@:'\"=]*:[^\s/@:'\"]+@")
_PASSWORD = re.compile(r"(?<=password=)[^&\s'\"]*")


def without_password(text: str) -> str:
    """A text whose addresses show neither user nor password.

    Args:
      text: may have addresses in it.
    """
    return _PASSWORD.sub("…", _USER.sub("…@", text))


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
    user, at, _ = parts.netloc.rpartition("@")
    if at:
        raise UsageError(
            "An address may not hold a user or a password: addresses are shown.",
            expected="the address alone",
            seen=without_password(text),
            fix=f"Write: {text.replace(user + at, '', 1)}",
        )
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


def _check_redis(text: str) -> None:
    _check_url(text)
    if not text.startswith(("redis://", "rediss://")) or {"username", "password"} & parse_qs(urlsplit(text).query).keys():
        raise UsageError(
            "This is not an address of a Redis.",
            expected="redis://HOST:PORT/DATABASE or rediss://…, without a password",
            seen=without_password(text),
            fix="Put the password into the environment variable CONVEYOR_REDIS_PASSWORD.",
        )


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise UsageError(
            "This is not an address or a network.",
            expected="an IP address, or a network such as 10.1.0.0/16",
            seen=str(error),
            fix="Write the address of the proxy.",
        ) from error


checked_url = checked_by(_check_url)
"""A validator: the address has a host, and a port that exists if it has one."""

HttpUrl = Annotated[str, Field(json_schema_extra={"pattern": "^https?://.+"}), checked_by(_check_http)]
"""An address of a web server."""

RedisUrl = Annotated[
    str,
    Field(examples=["redis://redis:6379/0"], json_schema_extra={"pattern": "^rediss?://[^@]+$"}),
    checked_by(_check_redis),
]
"""An address of a Redis."""

Network = Annotated[str, Field(examples=["10.1.0.0/16"]), checked_by(_check_network)]
"""An IP address, or a network of them."""

HostAndPort = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:\d{1,5}$", examples=["localhost:8099"]),
    checked_by(_check_host_and_port),
]
"""A server's host and port."""
