"""What a request to the API says about who is calling: a token or a cookie, read where `kubeflow.auth` says.

Secrets are in no error, no log and no attribute that is printed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError, UsageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

_LOGIN_SECONDS = 300
# A token that ends while a request is on its way would be refused; clocks differ, too.
_MARGIN_SECONDS = 60.0
# What a header can hold. Anything else would be an error of the HTTP library, which shows the value.
_TOKEN = re.compile(r"[!-~]+")
_COOKIE = re.compile(r"[!-~]+=[ -~]*")
_LAST_MOMENT = datetime(9999, 1, 1, tzinfo=timezone.utc).timestamp()
_TOKEN_HEADER, _COOKIE_HEADER = "Authorization", "Cookie"


class Credentials(ABC):
    """Who is calling.

    Attributes:
      field: the field of the configuration that says how they are found.
      renewal: what a person does when they have expired or are refused.
    """

    field: str
    renewal: str
    _secret = ""
    """The last token or cookie."""

    @abstractmethod
    def header(self) -> tuple[str, str]:
        """The header of the next request, its name and its value.

        Raises:
          UsageError: a file or a program is missing, or holds or prints something else.
          ConveyorError: a program failed.
        """

    @abstractmethod
    def renew(self) -> bool:
        """Whether asking again may help after a refusal: whether the next header may be another one.

        Raises:
          UsageError: as `header` does.
        """

    def described(self) -> str:
        """What the last token says of itself that is no secret: whose it is, for whom, until when. Empty where it says none."""
        claims = _claims(self._secret)
        parts = []
        if who := claims.get("email") or claims.get("sub"):
            parts.append(f"of {who}")
        if audience := claims.get("aud"):
            parts.append(f"for {', '.join(map(str, audience)) if isinstance(audience, list) else audience}")
        if until := _expiry(claims):
            moment = datetime.fromtimestamp(until, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
            parts.append(f"{'expired' if until < time.time() else 'valid until'} {moment}")
        return " ".join(parts)


class FileCredentials(Credentials):
    """A token or a cookie in a file that another program, or a person, keeps fresh.

    Args:
      path: the file.
      field: the field of the configuration that names it.
      is_cookie: whether it holds a cookie, NAME=VALUE, and not a token.
      renewal: what a person does when it has expired.
    """

    def __init__(self, path: str, field: str, renewal: str, *, is_cookie: bool = False) -> None:
        self._path, self.field, self.renewal, self._is_cookie = path, field, renewal, is_cookie

    def header(self) -> tuple[str, str]:
        """The header that the file's content makes now."""
        try:
            self._secret = Path(self._path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "The file with the log-in cannot be read.",
                where=f"{self.field}: {self._path}",
                seen=str(getattr(error, "strerror", None) or "it is not text"),
                fix=self.renewal,
            ) from error
        if self._is_cookie:
            cookie = self._secret.removeprefix("Cookie:").strip()
            if not _COOKIE.fullmatch(cookie):
                raise self._something_else("a cookie on one line: NAME=VALUE")
            return _COOKIE_HEADER, cookie
        if not _TOKEN.fullmatch(self._secret):
            raise self._something_else("a token: one word without spaces")
        return _bearer(self._secret)

    def renew(self) -> bool:
        """Whether the file holds something else than a moment ago."""
        last = self._secret
        self.header()
        return self._secret != last

    def _something_else(self, expected: str) -> UsageError:
        return UsageError(
            "The file with the log-in holds something else.",
            where=f"{self.field}: {self._path}",
            expected=expected,
            seen=_amount(self._secret),
            fix=self.renewal,
        )


class CommandCredentials(Credentials):
    """A token that a program prints, kept until it expires.

    Args:
      command: the program and its arguments.
      field: the field of the configuration that names it.
    """

    def __init__(self, command: tuple[str, ...], field: str) -> None:
        self._command, self.field = command, field
        self.renewal = f"Run it by hand to see what it does: {shlex.join(command)}"
        self._expires = 0.0

    def header(self) -> tuple[str, str]:
        """The header with the program's last token, or a new one where that has expired."""
        if not self._secret or time.time() > self._expires - _MARGIN_SECONDS:
            self._secret, self._expires = self._asked()
        return _bearer(self._secret)

    def renew(self) -> bool:
        """Forgets the token, so that the program runs again."""
        self._secret = ""
        return True

    def _asked(self) -> tuple[str, float]:
        """A new token, and when it expires."""
        try:
            # Like kubectl's plugins, it may speak with the person at the terminal, beside its output.
            done = subprocess.run(self._command, stdout=subprocess.PIPE, timeout=_LOGIN_SECONDS, check=False)
        except OSError as error:
            raise UsageError(
                "The program for the log-in cannot be started.",
                where=self.field,
                seen=f"{self._command[0]}: {error.strerror}",
                fix="Install it, or write its whole path.",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"no end within {_LOGIN_SECONDS} seconds") from error
        if done.returncode != 0:
            raise self._failed(f"exit status {done.returncode}; what it wrote on its standard error is above")
        return self._read(done.stdout.decode(errors="replace").strip())

    def _read(self, text: str) -> tuple[str, float]:
        token, expires = text, None
        if text.startswith("{"):
            token, expires = _exec_credential(text)
        if not _TOKEN.fullmatch(token):
            raise UsageError(
                "The program for the log-in prints something else than a token.",
                where=self.field,
                expected="a token: one word without spaces, or an ExecCredential with status.token",
                seen=_amount(text),
                fix=self.renewal,
            )
        return token, expires or _expiry(_claims(token)) or float("inf")

    def _failed(self, seen: str) -> ConveyorError:
        return ConveyorError("The program for the log-in failed.", where=self.field, seen=seen, fix=self.renewal)


def credentials_of(config: PipelineConfig) -> Credentials | None:
    """The credentials that a configuration names; None where it names none.

    Args:
      config: the pipeline's configuration, whose section `kubeflow.auth` says how they are found.
    """
    auth = config.kubeflow.auth
    if auth is None:
        return None
    if auth.command is not None:
        return CommandCredentials(auth.command, "kubeflow.auth.command")
    if auth.cookie_file is not None:
        path = config.resolve(auth.cookie_file)
        renewal = f"Log in in the browser, and write the cookie that its developer tools show into the file: {path}"
        return FileCredentials(path, "kubeflow.auth.cookie_file", renewal, is_cookie=True)
    if auth.token_file is not None:
        path = config.resolve(auth.token_file)
        return FileCredentials(path, "kubeflow.auth.token_file", f"Write a new token into the file: {path}")
    return _of_service_account()


def _of_service_account() -> Credentials:
    from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH

    return FileCredentials(
        os.environ.get(KF_PIPELINES_SA_TOKEN_ENV) or KF_PIPELINES_SA_TOKEN_PATH,
        "kubeflow.auth.service_account",
        "Run in a pod with a token for the audience pipelines.kubeflow.org, as docs/cluster-shared.md shows",
    )


def _bearer(token: str) -> tuple[str, str]:
    return _TOKEN_HEADER, f"Bearer {token}"


def _amount(text: str) -> str:
    """What is there, without saying it."""
    return f"{len(text)} characters in {len(text.splitlines())} lines" if text else "nothing"


def _exec_credential(text: str) -> tuple[str, float | None]:
    """The token of a client.authentication.k8s.io ExecCredential, and when it expires.

    Source: Kubernetes' "client-go credential plugins".
    """
    try:
        status = json.loads(text)["status"]
        token, until = str(status["token"]), status.get("expirationTimestamp")
        return token, None if until is None else _moment(until)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", None


def _moment(text: str) -> float:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _claims(token: str) -> Mapping[str, Any]:
    """What a JWT says, unchecked, since the server checks it; empty for other tokens."""
    import jwt

    try:
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims


def _expiry(claims: Mapping[str, Any]) -> float | None:
    """When a token expires, in seconds since 1970; None where it does not say so, or nothing that is a time."""
    until = claims.get("exp")
    return until if isinstance(until, int | float) and 0 < until < _LAST_MOMENT else None
