"""The errors of Kubeflow Pipelines' API: what an answer, or no answer, means for the person at the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.errors import ConveyorError

if TYPE_CHECKING:
    from pipeline.config import Kubeflow

_LOG_IN_STATUSES = (301, 302, 303, 307, 308, 401, 403)
_PASSING_STATUSES = (0, 502, 503, 504)


class ApiError(ConveyorError):
    """Kubeflow Pipelines cannot be reached, or refused a request.

    Attributes:
      status: the status of the HTTP answer; 0 where there was none, or it was not Kubeflow's.
      may_pass: whether the error may pass by itself: a server that restarts, a forwarded port that is opened again.
    """

    headline = "Kubeflow Pipelines"
    status = 0
    may_pass = False


class ApiErrors:
    """Makes the errors of one API server.

    Args:
      kubeflow: the settings that name the cluster.
      host: the server's address.
    """

    def __init__(self, kubeflow: Kubeflow, host: str) -> None:
        self._host = host
        self._kubectl = f"kubectl --context {kubeflow.context} --namespace {kubeflow.namespace}"
        self._port_forward = f"{self._kubectl} port-forward service/ml-pipeline-ui 8080:80"

    def refused(self, status: int, reason: str, body: str | None) -> ApiError:
        """The error for an HTTP answer that is not a success.

        Args:
          status: its status.
          reason: the reason beside the status.
          body: its content.
        """
        message = _message(body)
        seen = f"{status} {message or reason}"
        if status in _LOG_IN_STATUSES:
            error = ApiError(
                "The API asks for a log-in, which Conveyor does not do.",
                where=self._host,
                expected="Kubeflow Pipelines in single-user mode, without a log-in on the way",
                seen=seen,
                fix=f"Bypass the log-in: {self._port_forward}, and kubeflow.host: http://localhost:8080",
            )
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
        error = ApiError(
            "Kubeflow Pipelines cannot be reached.",
            where=self._host,
            expected="the address of the dashboard in kubeflow.host",
            seen=str(cause).rpartition(": ")[2],
            fix=f"`conveyor cluster up` starts a cluster here. To reach another: {self._port_forward}",
        )
        error.may_pass = True
        return error

    def not_kubeflow(self, body: str) -> ApiError:
        """The error for an answer of another server.

        Args:
          body: its content.
        """
        return ApiError(
            "The server that answers is not Kubeflow Pipelines.",
            where=self._host,
            expected="the API at /apis/v2beta1 of the dashboard's address",
            seen=" ".join(body.split())[:100],
            fix=f"Correct kubeflow.host, or forward the dashboard's port: {self._port_forward}",
        )


def _message(body: str | None) -> str | None:
    """The message of an error of the API; None where the content is something else."""
    try:
        document = json.loads(body or "")
        return str(document.get("message") or document["error_message"])
    except (ValueError, KeyError, AttributeError):
        return None
