"""The address of a served model: protocol, server, model, and which of its versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import UsageError
from pipeline.util.hosts import bracketed
from serving import GRPC_PORT

Scheme = Literal["grpc", "http", "https"]

_GRPC_PATH = re.compile(r"/(?P<model>[^/:]+)(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?")
_REST_PATH = re.compile(r"(?P<prefix>.*)/v1/models" + _GRPC_PATH.pattern)
_FORMS = "grpc://HOST:PORT/MODEL or http://HOST:PORT/v1/models/MODEL, and behind it /versions/N or /labels/LABEL if need be"


@dataclass(frozen=True)
class Address:
    """The address of a model, and of one of its versions where one is named.

    Attributes:
      scheme: grpc, or http or https for REST.
      server: the server's host:port.
      model: the model's name.
      version: the version to ask, if not the newest.
      label: such as `stable`: the version that the server has given this label.
      prefix: REST only: what precedes /v1 in the path, behind a proxy for example.
    """

    scheme: Scheme
    server: str
    model: str
    version: int | None = None
    label: str | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise UsageError(
                "A version is asked for by its number or by its label, not by both.",
                seen=f"version {self.version} and label {self.label}",
                fix="Leave one of them out.",
            )

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads an address.

        Args:
          text: `grpc://HOST:PORT/MODEL` or `http://HOST:PORT/v1/models/MODEL` (or https), and behind either `/versions/N`
            or `/labels/LABEL` for a version other than the newest. The port is 8500 for gRPC and that
            of the scheme for REST, unless it is given.

        Raises:
          UsageError: the text is not such an address.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise _not_an_address(text) from error
        path = (_GRPC_PATH if parts.scheme == "grpc" else _REST_PATH).fullmatch(parts.path.rstrip("/"))
        if parts.scheme not in ("grpc", "http", "https") or not parts.hostname or path is None or parts.query:
            raise _not_an_address(text)
        fields = path.groupdict()
        default = {"grpc": GRPC_PORT, "http": 80, "https": 443}[parts.scheme]
        return cls(
            scheme=cast("Scheme", parts.scheme),
            server=f"{bracketed(parts.hostname)}:{port or default}",
            model=unquote(fields["model"]),
            version=int(fields["version"]) if fields["version"] else None,
            label=unquote(fields["label"]) if fields["label"] else None,
            prefix=fields.get("prefix") or "",
        )

    @property
    def is_rest(self) -> bool:
        """Whether the model is asked over REST rather than gRPC."""
        return self.scheme != "grpc"

    @property
    def model_url(self) -> str:
        """The address of the model, without a version."""
        path = f"{self.prefix}/v1/models/" if self.is_rest else "/"
        return f"{self.scheme}://{self.server}{path}{quote(self.model, safe='')}"

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model_url}/versions/{self.version}"
        return f"{self.model_url}/labels/{quote(self.label, safe='')}" if self.label is not None else self.model_url


def _not_an_address(text: str) -> UsageError:
    return UsageError(
        "This is not the address of a model.", expected=_FORMS, seen=text, fix="Give one such as grpc://localhost:8500/flights."
    )
