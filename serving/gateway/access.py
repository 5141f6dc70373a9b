"""The caller of a request, by an API key or by a token of an OpenID Connect provider."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from pipeline.config import Access
from pipeline.config.gateway import ANYBODY
from serving.gateway.oidc import Provider, RefusedError
from serving.gateway.problems import ProblemError

_PREFIX = "cv_"
_ANONYMOUS = "anonymous"
_KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
      name: the name of the API key, the token's subject, or the address.
      rate_limit: the caller's limit, such as 600/minute; None without one.
      kind: what the name is: `key`, `token` or `address`. The same name of another kind is another caller.
    """

    name: str
    rate_limit: str | None
    kind: str


def new_key() -> tuple[str, str]:
    """A new API key, and its hash for the configuration."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, _hash(key)


def _hash(key: str) -> str:
    # A key has 256 random bits, so a slow hash as for passwords is not needed.
    return hashlib.sha256(key.encode()).hexdigest()


class Authenticator:
    """Identifies callers, and refuses those who may not call. It knows only the hashes of the keys.

    Args:
      access: the settings.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._names = {key.sha256: name for name, key in access.api_keys.items()}
        self._provider = Provider(access.oidc) if access.oidc else None

    @property
    def is_open(self) -> bool:
        """Whether everybody may call."""
        return not self._names and self._provider is None

    @property
    def schemes(self) -> dict[str, Any]:
        """The authentication methods, as OpenAPI describes them."""
        schemes: dict[str, Any] = {}
        if self._names:
            schemes["API key"] = {"type": "apiKey", "in": "header", "name": _KEY_HEADER}
        if self._provider:
            schemes["Token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        return schemes

    async def caller(self, request: Request) -> Caller:
        """Identifies the caller of a request.

        Raises:
          ProblemError: the caller is unknown.
        """
        caller = await self._identify(request)
        request.scope["caller"], request.scope["caller_kind"] = caller.name, caller.kind
        return caller

    def stranger(self, request: Request) -> Caller:
        """The sender of a request whose key or token was refused, with the limit of such requests."""
        return Caller(_address(request), self._access.failed_logins, "stranger")

    def may_choose(self, caller: Caller) -> bool:
        """Whether a caller may ask for a version. A name that a key has means the key, and no subject of the same name."""
        allowed = self._access.choose_version
        is_meant = (caller.kind == "key") == (caller.name in self._access.api_keys)
        return ANYBODY in allowed or (is_meant and caller.name in allowed)

    async def _identify(self, request: Request) -> Caller:
        if self.is_open:
            return Caller(_address(request), self._access.rate_limit, "address")
        if key := request.headers.get(_KEY_HEADER):
            name = self._names.get(_hash(key))
            if name is None:
                raise _refused("The API key is unknown.")
            return Caller(name, self._access.api_keys[name].rate_limit or self._access.rate_limit, "key")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self._provider and scheme.lower() == "bearer":
            try:
                return Caller(await self._provider.subject(token), self._access.rate_limit, "token")
            except RefusedError as error:
                raise _refused(str(error)) from error
        accepted = [
            *([f"an API key in the header {_KEY_HEADER}"] if self._names else []),
            *(["a token in the header Authorization: Bearer"] if self._provider else []),
        ]
        raise _refused(f"The caller is unknown. Send {' or '.join(accepted)}.")

    async def close(self) -> None:
        """Closes the connection to the provider."""
        if self._provider:
            await self._provider.close()


def _address(request: Request) -> str:
    return request.client.host if request.client else _ANONYMOUS


def _refused(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})
