"""The errors between a client and a model server; pipeline.errors shows where they stand in the family."""

from __future__ import annotations

from pipeline.errors import ConveyorError, DataError, UsageError


class ServingError(ConveyorError):
    """The model server failed, or another program answers in its place."""

    headline = "Serving error"


class ServerAwayError(ServingError):
    """No server answers at the address, after several attempts."""


class DeadlineError(ServingError):
    """An answer did not come in time."""


class UnknownModelError(UsageError):
    """The server does not serve this model, or not this version or label of it."""


class NotExplainableError(UsageError):
    """The model carries no rows to compare with, so that its predictions cannot be explained."""


class RejectedError(DataError):
    """The server refused the request as invalid."""


class FeatureError(DataError):
    """A row does not suit the model: a feature is unknown, or has a value that it cannot have."""
