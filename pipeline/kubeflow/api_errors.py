"""The errors of Kubeflow Pipelines' API: what an answer, or no answer, means for the person at the command line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pipeline.errors import ConveyorError

if TYPE_CHECKING:
    from pipeline.config import Kubeflow
    from pipeline.kubeflow.credentials import Credentials

_LOG_IN_STATUSES = (301, 302, 303, 307, 308, 401)
_FORBIDDEN = 403
# Pages that log-ins answer with, in the place of the API.
_LOG_IN_PAGE = re.compile(r"""type=["']?password|(log|sign)[ -]?in|oauth2""", re.IGNORECASE)
_PASSING_STATUSES = (0, 502, 503, 504)


class ApiError(ConveyorError):
    """Kubeflow Pipelines cannot be reached, or refused a request.

    Attributes:
      status: the status of the HTTP answer; 0 where there was none, or it was not Kubeflow's.
      may_pass: whether the error may pass by itself: a server that restarts, a forwarded port that is opened again.
      asks_for_log_in: whether another token or cookie may help.
    """

    headline = "Kubeflow Pipelines"
    status = 0
    may_pass = False
    asks_for_log_in = False


class ApiErrors:
    """Makes the errors of one API server.

    Args:
      kubeflow: the settings that name the cluster.
      host: the server's address.
      credentials: who is calling; None: nobody who says so.
    """

    def __init__(self, kubeflow: Kubeflow, host: str, credentials: Credentials | None) -> None:
        self._host, self._credentials, self._kubeflow = host, credentials, kubeflow
        self._kubectl = f"kubectl --context {kubeflow.context} --namespace {kubeflow.system_namespace}"
        self._port_forward = f"{self._kubectl} port-forward service/ml-pipeline-ui 8080:80"

    def refused(self, status: int, reason: str, body: str | None) -> ApiError:
        """The error for an HTTP answer that is not a success.

        Args:
          status: its status.
          reason: the reason beside the status.
          body: its content.
        """
        message = _message(body)
        seen = f"{status} {message or _plain(body) or reason}"
        if status in _LOG_IN_STATUSES or (status == _FORBIDDEN and message is None):
            # What stands before the API answers with 403, too; the API itself does so only to whom it knows.
            error = self._log_in(seen)
        elif status == _FORBIDDEN:
            error = self._forbidden(seen)
        elif status == 404 and message is None:
            return self.not_kubeflow(body or "")
        elif status in _PASSING_STATUSES:
            error = ApiError(
                "The API server does not answer.",
                where=self._host,
                seen=seen,
                fix=f"Check that it runs: {self._kubectl} get pods",
            )
            error.may_pass = True
        else:
            error = ApiError(
                "The API server refused the request.",
                where=self._host,
                seen=seen,
                fix=f"Its log says more: {self._kubectl} logs deployment/ml-pipeline",
            )
        error.status = status
        return error

    def unreachable(self, cause: Exception) -> ApiError:
        """The error for a connection that failed.

        Args:
          cause: what urllib3 raised.
        """
        reason = str(cause).rpartition(": ")[2]
        if "certificate verify failed" in str(cause):
            return self._untrusted(str(cause).partition("certificate verify failed: ")[2].partition(" (_ssl")[0])
        error = ApiError(
            "Kubeflow Pipelines cannot be reached.",
            where=self._host,
            expected="the address of the dashboard in kubeflow.host",
            seen=reason,
            fix=f"`conveyor cluster up` starts a cluster here. To reach another: {self._port_forward}",
        )
        error.may_pass = True
        return error

    def not_kubeflow(self, body: str) -> ApiError:
        """The error for an answer of another server.

        Args:
          body: its content.
        """
        seen = " ".join(body.split())[:100]
        if _LOG_IN_PAGE.search(body):
            return self._log_in(f"a page: {seen}")
        return ApiError(
            "The server that answers is not Kubeflow Pipelines.",
            where=self._host,
            expected="the API at /apis/v2beta1 of the dashboard's address",
            seen=seen,
            fix=f"Correct kubeflow.host, or forward the dashboard's port: {self._port_forward}"
            if self._credentials is None
            else f"Correct kubeflow.host. On a Kubeflow with profiles it ends in /pipeline: {self._with_path('/pipeline')}",
        )

    def _untrusted(self, seen: str) -> ApiError:
        authorities = self._kubeflow.ca_file or "the list that browsers have"
        return ApiError(
            "The server's certificate is not one that Conveyor trusts.",
            where=self._host,
            expected=f"a certificate for this host, by an authority in {authorities}",
            seen=seen,
            fix="Write the name that the certificate is for into kubeflow.host."
            if "mismatch" in seen
            else "Ask who runs the cluster for the certificate of its authority, and name its file: kubeflow: {ca_file: FILE}",
        )

    def _log_in(self, seen: str) -> ApiError:
        """The error for an answer that asks who is calling."""
        if self._credentials is None:
            error = ApiError(
                "The API asks for a log-in.",
                where=self._host,
                expected="kubeflow.auth, which says how Conveyor logs in, or a way to the API without a log-in",
                seen=seen,
                fix="Write a token into a file and name it in the configuration: kubeflow: {auth: {token_file: FILE}}; "
                "docs/cluster-shared.md shows other ways.\nWhere Kubeflow has a single user, pass the log-in by: "
                f"{self._port_forward}, and kubeflow.host: http://localhost:8080",
            )
        else:
            token = self._credentials.described()
            error = ApiError(
                "The API does not accept the log-in.",
                where=f"{self._host}, {self._credentials.field}",
                expected="a token or a cookie that is valid there",
                seen=f"{seen}\nthe token is {token}" if token else seen,
                fix=self._credentials.renewal,
            )
        error.asks_for_log_in = True
        return error

    def _forbidden(self, seen: str) -> ApiError:
        """The error for an answer that knows who is calling, and does not let them."""
        namespace = self._kubeflow.namespace
        return ApiError(
            "The API does not let this account do that.",
            where=f"{self._host}, kubeflow.namespace {namespace}",
            expected=f"an account that may start runs in the profile {namespace}",
            seen=seen,
            fix=f"Correct kubeflow.namespace, or ask the owner of the profile {namespace} to make this account a contributor "
            "(in Kubeflow's dashboard: Manage Contributors).",
        )

    def _with_path(self, path: str) -> str:
        return self._host if self._host.endswith(path) else f"{self._host}{path}"


def _message(body: str | None) -> str | None:
    """The message of an error of the API; None where the content is something else."""
    try:
        document = json.loads(body or "")
        return str(document.get("message") or document["error_message"])
    except (ValueError, KeyError, AttributeError):
        return None


def _plain(body: str | None) -> str:
    """A short answer in plain text, as proxies give it; empty where it is something else."""
    text = " ".join((body or "").split())
    return text if len(text) <= 100 and not text.startswith(("<", "{")) else ""
