"""The client of a model server: raw rows in, predictions out.

Neither gRPC nor httpx is imported before a client for an address that needs it is made.
"""

from serving.client.address import Address
from serving.client.client import MAX_ROWS, TIMEOUT_SECONDS, AsyncClient, Client
from serving.client.explanations import MAX_ROWS_ASKED
from serving.client.features import ModelFeature
from serving.client.predictions import NOT_FINITE, Contribution, Explanation, Prediction
from serving.client.schema import ModelSchema

__all__ = [
    "MAX_ROWS",
    "MAX_ROWS_ASKED",
    "NOT_FINITE",
    "TIMEOUT_SECONDS",
    "Address",
    "AsyncClient",
    "Client",
    "Contribution",
    "Explanation",
    "ModelFeature",
    "ModelSchema",
    "Prediction",
]
