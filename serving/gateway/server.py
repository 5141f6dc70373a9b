"""Runs the gateway until it is told to stop."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from pipeline.config import Gateway
from pipeline.errors import UsageError
from pipeline.util.hosts import bracketed
from serving import tracing
from serving.connections import allow_many_connections, limited_http
from serving.gateway import logs
from serving.gateway.app import create_app

GRACE_SECONDS = 20
"""The time for requests that are under way when the gateway is told to stop."""
_BACKLOG = 2048
_COLLECT_AFTER = 100_000


def serve(gateway: Gateway, announce: Callable[[str], None] = lambda url: None) -> None:
    """Serves until SIGTERM or SIGINT, then answers the requests under way and writes the rest of the prediction log.

    Args:
      gateway: the settings, as `serving.gateway.settings` makes them.
      announce: gets the gateway's address when it listens.

    Raises:
      UsageError: the port cannot be opened, or the exporter of traces is not known or not installed.
      ConfigError: the schema of the features cannot be read.
    """
    # These would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    tracing.configure("conveyor-gateway")
    app = create_app(gateway)
    listener = _listen(gateway.host, gateway.port)
    logs.configure()
    allow_many_connections()
    announce(f"http://{bracketed(gateway.host)}:{listener.getsockname()[1]}")
    # A small body may hold hundreds of thousands of lists, for each few of which the collector would look at all objects.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    uvicorn.Server(uvicorn_config(app, gateway)).run(sockets=[listener])


def uvicorn_config(app: FastAPI, gateway: Gateway) -> uvicorn.Config:
    """What the gateway's connections are like.

    Args:
      app: the gateway.
      gateway: the settings.
    """
    return uvicorn.Config(
        app,
        http=limited_http(),
        # Anybody can send X-Forwarded-For.
        proxy_headers=bool(gateway.access.proxies),
        forwarded_allow_ips=list(gateway.access.proxies),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="on",
        ws="none",
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Connections inherit this; without it, answers wait 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise UsageError(
            "The gateway cannot listen.",
            where=f"{bracketed(host)}:{port}",
            seen=error.strerror or str(error),
            fix="End the program that uses the port, or choose another with --set gateway.port=8089",
        ) from error
    return listener
