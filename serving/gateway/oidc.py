"""Tokens of an OpenID Connect provider, checked by its public keys."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from pipeline.config import Oidc
from serving.gateway.jwks import HostileError, parse, read_keys
from serving.gateway.logs import log
from serving.gateway.problems import ProblemError

# Signatures that only the provider can make. With HMAC, its public key would be enough to make one.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TIMEOUT_SECONDS = 5.0
"""The most seconds that the provider may take for all that is asked of it at once."""
_KEEP_SECONDS = 600.0
"""The age of keys after which they are fetched again, in the background."""
_STALE_SECONDS = 24 * 3600.0
"""The age of keys after which they are no longer believed."""
_PAUSE_SECONDS = 10.0
"""The minimum number of seconds between two fetches of the keys: tokens with invented key ids must not cause endless ones."""
_LEEWAY_SECONDS = 30.0
_MAX_BYTES = 256 * 1024
"""The most bytes of a document of the provider."""
# Those of Kubernetes' service accounts have up to 340 characters.
_MAX_SUBJECT = 1024


class RefusedError(Exception):
    """The token is refused; the message says why."""


class Provider:
    """An OpenID Connect provider. Its keys are fetched when the first token comes.

    Args:
      settings: the provider's settings.
    """

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, headers={"Accept-Encoding": "identity"})
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def subject(self, token: str) -> str:
        """The subject of a token.

        Args:
          token: a signed JWT.

        Raises:
          RefusedError: the token is not from this provider for this audience, or is not valid now.
          ProblemError: the provider's keys cannot be fetched.
        """
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise RefusedError(f"The token is not valid: {error}.") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject.strip() or len(subject) > _MAX_SUBJECT:
            raise RefusedError(f"The token is not valid: its subject is not a text of 1 to {_MAX_SUBJECT} characters.")
        return subject

    async def close(self) -> None:
        """Closes the connection."""
        if self._fetching:
            self._fetching.cancel()
        await self._client.aclose()

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        """A key of the provider. Only a key that is not known is waited for."""
        now = time.monotonic()
        if now - self._fetched > _STALE_SECONDS:
            self._keys = {}
        if key_id not in self._keys or now - self._fetched > _KEEP_SECONDS:
            self._fetch_soon(now)
        if key_id not in self._keys and self._fetching:
            # Another request may end before this one: what it has begun goes on.
            await asyncio.shield(self._fetching)
        if not self._keys:
            raise ProblemError(503, "Tokens cannot be checked at the moment.", headers={"Retry-After": "10"})
        if key_id not in self._keys:
            raise RefusedError("The token is signed with a key that its issuer does not have.")
        return self._keys[key_id]

    def _fetch_soon(self, now: float) -> None:
        if self._fetching is None and now - self._tried > _PAUSE_SECONDS:
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        """Fetches the provider's keys; while it is away, or what it sends is not right, the known ones stay."""
        try:
            self._keys = await asyncio.wait_for(self._new_keys(), _TIMEOUT_SECONDS)
            self._fetched = time.monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, HostileError, asyncio.TimeoutError) as error:
            seen = str(error) or "it did not answer in time"
            log(logging.ERROR, "the keys of the OpenID Connect provider cannot be fetched", error=seen)
        except Exception as error:
            log(logging.ERROR, "the keys of the OpenID Connect provider cannot be fetched", failure=error)
        finally:
            self._tried = time.monotonic()
            self._fetching = None

    async def _new_keys(self) -> dict[str | None, jwt.PyJWK]:
        address = self._settings.jwks_url or self._keys_address(await self._get(_discovery(self._settings.issuer)))
        return read_keys(await self._get(address))

    def _keys_address(self, document: Any) -> str:
        """Where the provider says that its keys are: an address as safe as its own."""
        issuer, address = (document.get(name) if isinstance(document, dict) else None for name in ("issuer", "jwks_uri"))
        if issuer != self._settings.issuer:
            raise HostileError(f"the provider says that it is {issuer!r:.200}, not {self._settings.issuer!r}")
        scheme = urlsplit(self._settings.issuer).scheme
        if not isinstance(address, str) or not address.startswith(("https://", f"{scheme}://")):
            raise HostileError(f"its keys are at {address!r:.200}, which is not an address of https")
        return address

    async def _get(self, url: str) -> Any:
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            content = bytearray()
            # As it was sent: what is compressed may be of any size.
            async for part in response.aiter_raw():
                content += part
                if len(content) > _MAX_BYTES:
                    raise HostileError(f"{url} has more than {_MAX_BYTES:,} bytes")
        return parse(bytes(content))


def _discovery(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"
