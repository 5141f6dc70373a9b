"""What can go wrong between a client and a model server."""

from __future__ import annotations

from pipeline.errors import ConveyorError, DataError, UsageError


class ServingError(ConveyorError):
    """The model server failed, or is none."""

    headline = "Serving error"


class ServerAwayError(ServingError):
    """Nothing answers at the address, also after some attempts."""


class DeadlineError(ServingError):
    """No answer came in time."""


class UnknownModelError(UsageError):
    """The server does not serve this model, or not this version or label of it."""


class RejectedError(DataError):
    """The server refused the request as invalid."""


class FeatureError(DataError):
    """A row does not suit the model: a feature is unknown, missing, or has a value that it cannot have."""
