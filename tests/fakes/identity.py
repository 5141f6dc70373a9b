"""Who may call the API of a Kubeflow with profiles: an issuer whose tokens expire, and the gateway that checks them."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE, COOKIE = "https://dex.example.com/dex", "kubeflow-oidc-authservice", "oauth2_proxy_kubeflow"
LOG_IN_PAGE = '<!doctype html><title>Log in to Your Account</title><form method="post"><input type="password"></form>'


@dataclass
class Identity:
    """The issuer of tokens, and the gateway before the API, which answers as Istio with oauth2-proxy and KFP do.

    Attributes:
      profiles: the namespaces that each user may work in.
      refused: tokens that were taken back.
      sessions: the user of each cookie's value.
      page: what a caller without a token or cookie is answered: a status and a body.
      seen: users in the order of their calls.
    """

    profiles: Mapping[str, frozenset[str]] = field(default_factory=lambda: {"ada@example.com": frozenset({"team"})})
    refused: set[str] = field(default_factory=set)
    sessions: dict[str, str] = field(default_factory=dict)
    page: tuple[int, str] = (302, "")
    seen: list[str] = field(default_factory=list)

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    def token(self, user: str = "ada@example.com", *, seconds: float = 3600, audience: str = AUDIENCE) -> str:
        """A token for a user that expires in so many seconds; before now where these are negative."""
        claims = {"iss": ISSUER, "aud": audience, "email": user, "exp": time.time() + seconds, "jti": str(time.monotonic_ns())}
        return jwt.encode(claims, self._key, algorithm="ES256")

    def check(self, path: str, headers: Message, body: bytes) -> tuple[int, str] | None:
        """The answer to a caller who is not let through; None for others."""
        token, cookie = headers.get("Authorization"), headers.get("Cookie", "")
        if token is not None:
            try:
                claims = jwt.decode(
                    token.removeprefix("Bearer "),
                    self._key.public_key(),
                    algorithms=["ES256"],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                )
            except jwt.ExpiredSignatureError:
                return 401, "Jwt is expired"
            except jwt.InvalidAudienceError:
                return 403, "Audiences in Jwt are not allowed"
            except jwt.InvalidTokenError:
                return 401, "Jwt verification fails"
            if token.removeprefix("Bearer ") in self.refused:
                return 401, "Jwt verification fails"
            user = claims["email"]
        else:
            user = self.sessions.get(cookie.removeprefix(f"{COOKIE}="), "")
            if not user:
                return self.page
        self.seen.append(user)
        namespace = _namespace(path, body)
        if namespace is not None and namespace not in self.profiles.get(user, ()):
            message = f"User '{user}' is not authorized with reason: (request: {{namespace:{namespace}}})"
            return 403, json.dumps({"code": 7, "message": f"Failed to authorize with API: PermissionDenied: {message}"})
        return None


def _namespace(path: str, body: bytes) -> str | None:
    """The namespace that a call is about; None where the API knows it from an object's id."""
    if body.startswith(b"{") and "namespace" in (given := json.loads(body)):
        return str(given["namespace"])
    return parse_qs(urlsplit(path).query).get("namespace", [None])[0]


def authority(folder: Path, host: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """A certificate that nobody has heard of.

    Args:
      folder: where it is written.
      host: the address that it is for.

    Returns:
      The file with the certificate, and the context of a server that has its key.
    """
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of our own")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "authority.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
