"""The keys that an OpenID Connect provider publishes (RFC 7517), read with distrust: anybody may answer at its address."""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_MAX_KEYS = 100
_KINDS = ("RSA", "EC", "OKP")
_RSA_BITS = range(2048, 8192 + 1)
# Checking a signature takes as many steps as the exponent has bits; nobody uses a larger one.
_MAX_RSA_EXPONENT = 2**32


class HostileError(Exception):
    """A document of the provider is not what it has to be; the message says why."""


def parse(content: bytes) -> Any:
    """Reads a document.

    Args:
      content: JSON.

    Raises:
      HostileError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise HostileError(f"it does not answer in JSON: {error!s:.200}") from error


def read_keys(document: Any) -> dict[str | None, jwt.PyJWK]:
    """The public keys for signatures in a set of keys, by their ids; of several with one id the last.

    Those of other kinds or for another use are left out, and so are those that are too weak, or too costly to check.

    Args:
      document: the set, as JSON is read.

    Raises:
      HostileError: it is no set of keys, has too many, or none that can be used.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise HostileError("its keys are not a list")
    if len(listed) > _MAX_KEYS:
        raise HostileError(f"it has {len(listed):,} keys; a provider has at most {_MAX_KEYS}")
    keys: dict[str | None, jwt.PyJWK] = {}
    for content in listed:
        key = _key(content)
        if key is not None:
            keys[key.key_id] = key
    if not keys:
        raise HostileError("none of its keys can be used")
    return keys


def _key(content: Any) -> jwt.PyJWK | None:
    if not isinstance(content, dict) or content.get("kty") not in _KINDS or content.get("use", "sig") != "sig":
        return None
    if not isinstance(content.get("kid"), str | None):
        return None
    # A private key is of no use here.
    public = {name: value for name, value in content.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
    try:
        key = jwt.PyJWK(public)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return None
    if isinstance(key.key, RSAPublicKey):
        numbers = key.key.public_numbers()
        if key.key.key_size not in _RSA_BITS or numbers.e > _MAX_RSA_EXPONENT:
            return None
    return key
