"""The errors of a call that failed, alike for both protocols."""

from __future__ import annotations

from serving.client.address import Address
from serving.errors import RejectedError, ServerAwayError, ServingError, UnknownModelError


def server_away(address: Address, seen: str) -> ServerAwayError:
    """Nothing answers at the address, or the server is not available."""
    return ServerAwayError(
        f"No model server answers at {address.server}.",
        where=str(address),
        seen=seen,
        fix="Start one with conveyor serve, or name another with --address.",
    )


def not_served(address: Address, seen: str) -> UnknownModelError:
    """The server does not serve the model, or not this version or label of it."""
    return UnknownModelError(f"The server does not serve {address}.", where=str(address), seen=seen)


def refused(address: Address, seen: str) -> RejectedError:
    """The server holds the request to be wrong."""
    return RejectedError("The model server refused the request.", where=str(address), seen=seen)


def not_a_model_server(address: Address, expected: str, seen: str) -> ServingError:
    """Another program answers at the address.

    Args:
      address: the model's address.
      expected: the interface that a model server has.
      seen: the answer.
    """
    return ServingError(
        f"What answers at {address.server} is not a model server.",
        where=str(address),
        expected=f"{expected}, as conveyor serve offers it",
        seen=seen,
    )


def server_failed(address: Address, seen: str) -> ServingError:
    """The server failed for a reason of its own."""
    return ServingError("The model server failed.", where=str(address), seen=seen, fix="Its log says why.")
