"""The model server as a whole: its models, and its gRPC and REST interfaces."""

from __future__ import annotations

import logging
from threading import Thread

from pipeline.util.hosts import bracketed
from serving.modelserver.flags import Flags
from serving.modelserver.models.core import ServerCore
from serving.modelserver.protocol.budget import Budget
from serving.modelserver.protocol.dataplane import DataPlane
from serving.modelserver.protocol.grpc import GrpcServer
from serving.modelserver.protocol.rest.api import RestApi
from serving.modelserver.protocol.rest.server import RestServer

_LOG = logging.getLogger(__name__)

GRACE_SECONDS = 25.0
"""The time for requests that are under way when the server stops: a little less than Kubernetes gives a pod to end."""


class ModelServer:
    """A drop-in for tensorflow_model_server. The configuration is read and the ports are taken before `start`.

    Args:
      flags: the server's flags.

    Raises:
      ConfigError: a file that the flags name cannot be read.
      UsageError: a port cannot be taken.
    """

    def __init__(self, flags: Flags) -> None:
        self._core = ServerCore(flags)
        dataplane = DataPlane(self._core)
        budget = Budget(flags.max_request_bytes)
        self._grpc = GrpcServer(flags, dataplane, budget)
        self._rest = RestServer(flags, RestApi(dataplane), budget) if flags.rest_api_port else None
        self._flags = flags

    def start(self) -> None:
        """Loads the models, waits until each of them answers, and opens the interfaces.

        Raises:
          StatusError: a model cannot be loaded.
        """
        self._core.start()
        if self._core.is_stopping:
            return
        self._grpc.start()
        host = bracketed(self._flags.host)
        _LOG.info("gRPC at %s:%d", host, self._flags.port)
        if self._rest is not None:
            self._rest.start(GRACE_SECONDS)
            _LOG.info("REST at %s:%d", host, self._flags.rest_api_port)

    def interrupt(self) -> None:
        """Makes `start` give up waiting for models."""
        self._core.interrupt()

    def stop(self) -> None:
        """Takes no more requests, waits for those that are under way, and unloads the models."""
        grpc = Thread(target=self._grpc.stop, args=(GRACE_SECONDS,))
        grpc.start()
        if self._rest is not None:
            self._rest.stop()
        grpc.join()
        self._core.stop()
