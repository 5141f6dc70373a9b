"""Tokens of an OpenID Connect provider, checked by its public keys."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx
import jwt

from pipeline.config import Oidc
from serving.gateway.logs import log
from serving.gateway.problems import ProblemError

# Signatures that only the provider can make. With HMAC, its public key would be enough to make one.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TIMEOUT_SECONDS = 5.0
_KEEP_SECONDS = 600.0
_PAUSE_SECONDS = 10.0
"""The minimum number of seconds between two fetches of the keys: tokens with invented key ids must not cause endless ones."""
_LEEWAY_SECONDS = 30.0


class RefusedError(Exception):
    """The token is refused; the message says why."""


class Provider:
    """An OpenID Connect provider. Its keys are fetched when the first token comes.

    Args:
      settings: the provider's settings.
    """

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS)
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

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
        except jwt.PyJWTError as error:
            raise RefusedError(f"The token is not valid: {error}.") from error
        return str(claims["sub"])

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.aclose()

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        if self._should_fetch(key_id):
            async with self._fetching:
                # Another request may have fetched them meanwhile.
                if self._should_fetch(key_id):
                    await self._fetch()
                    self._tried = time.monotonic()
        if not self._keys:
            raise ProblemError(503, "Tokens cannot be checked at the moment.", headers={"Retry-After": "10"})
        if key_id not in self._keys:
            raise RefusedError("The token is signed with a key that its issuer does not have.")
        return self._keys[key_id]

    def _should_fetch(self, key_id: str | None) -> bool:
        now = time.monotonic()
        wants = key_id not in self._keys or now - self._fetched > _KEEP_SECONDS
        return wants and now - self._tried > _PAUSE_SECONDS

    async def _fetch(self) -> None:
        """Fetches the provider's keys; while it is away, the known ones stay."""
        try:
            url = self._settings.jwks_url or (await self._get(_discovery(self._settings.issuer)))["jwks_uri"]
            keys = jwt.PyJWKSet.from_dict(await self._get(url)).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError, LookupError, TypeError) as error:
            log(logging.ERROR, "the keys of the OpenID Connect provider cannot be fetched", error=str(error))
            return
        self._keys = {key.key_id: key for key in keys}
        self._fetched = time.monotonic()

    async def _get(self, url: str) -> Any:
        response = await self._client.get(url)
        response.raise_for_status()
        return response.json()


def _discovery(issuer: str) -> str:
    return issuer.rstrip("/") + "/.well-known/openid-configuration"
