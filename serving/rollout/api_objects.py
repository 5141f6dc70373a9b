"""The objects of a rollout as the cluster's API server has them, for a pod with a ServiceAccount of its own."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pipeline.errors import ConveyorError
from pipeline.util.hosts import bracketed

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token and the certificate of the API server's authority."""

_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
_PATHS = {"configmap": "/api/v1/namespaces/{}/configmaps", "deployment": "/apis/apps/v1/namespaces/{}/deployments"}
_PODS = "/api/v1/namespaces/{}/pods"
_SECONDS, _POLL_SECONDS = 30.0, 2.0
_CONFLICT, _NOT_FOUND = 409, 404


def has_account() -> bool:
    """Whether this process runs in a pod whose ServiceAccount has its token there."""
    return _HOST in os.environ and (ACCOUNT / "token").is_file()


class ApiObjects:
    """The objects of a namespace. Pods are reached at their own addresses, which the network policies must allow.

    Args:
      namespace: their namespace.
      account: the folder with the token, which is read again for each request, as it expires.
    """

    def __init__(self, namespace: str, account: Path) -> None:
        self._namespace, self._token = namespace, account / "token"
        self._server = f"https://{bracketed(os.environ[_HOST])}:{os.environ[_PORT]}"
        trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
        # A proxy that pods have for what is outside does not know the API server.
        self._client = httpx.Client(base_url=self._server, verify=trusted, timeout=_SECONDS, trust_env=False)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        answer = self._ask("GET", f"{self._path(kind)}/{name}", accepted=(_NOT_FOUND,))
        return None if answer.status_code == _NOT_FOUND else dict(answer.json())

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a name, by their label."""
        query = {"labelSelector": f"app.kubernetes.io/name={name}"}
        return list(self._ask("GET", _PODS.format(self._namespace), query=query).json()["items"])

    def patch(self, config_map: str, patch: Mapping[str, Any]) -> bool:
        """Merges a patch; False where the object has changed meanwhile."""
        answer = self._ask("PATCH", f"{self._path('configmap')}/{config_map}", patch, accepted=(_CONFLICT,))
        return answer.status_code != _CONFLICT

    def annotate(self, pods: Sequence[str], key: str, value: str) -> None:
        """Gives each pod an annotation."""
        for pod in pods:
            self._ask("PATCH", f"{_PODS.format(self._namespace)}/{pod}", {"metadata": {"annotations": {key: value}}})

    def scale(self, deployment: str, replicas: int) -> None:
        """Changes how many pods there are, by the Deployment's scale."""
        self._ask("PATCH", f"{self._path('deployment')}/{deployment}/scale", {"spec": {"replicas": replicas}})

    def wait_until_available(self, deployment: str, seconds: float) -> None:
        """Waits for the pods by looking at the Deployment again and again."""
        end = time.monotonic() + seconds
        while not _is_available(found := self.get("deployment", deployment) or {}):
            if time.monotonic() > end:
                raise ConveyorError(
                    f"The pods of {deployment} did not become ready.",
                    where=f"Deployment {deployment}, namespace {self._namespace}",
                    expected=f"all of them within {seconds:g} s",
                    seen=str(found.get("status", {})),
                    fix=f"Its log says why: kubectl -n {self._namespace} logs deployment/{deployment} --previous",
                )
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def reach(self, pod: Mapping[str, Any], port: int) -> Iterator[str]:
        """The pod's own address."""
        yield f"{bracketed(pod['status']['podIP'])}:{port}"

    def _path(self, kind: str) -> str:
        return _PATHS[kind].format(self._namespace)

    def _ask(
        self,
        method: str,
        path: str,
        patch: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        accepted: Sequence[int] = (),
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token.read_text().strip()}"}
        if patch is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            answer = self._client.request(method, path, json=patch, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise ConveyorError(
                "The cluster's API server does not answer.",
                where=self._server,
                seen=str(error) or type(error).__name__,
                fix="Look at the network policies of this pod's namespace; from a laptop: kubectl get --raw /readyz",
            ) from error
        if answer.is_success or answer.status_code in accepted:
            return answer
        raise ConveyorError(
            "The cluster's API server has refused a request.",
            where=f"{method} {path}",
            seen=f"HTTP status {answer.status_code}: {_message(answer)}",
            fix="Look at the Role of this pod's ServiceAccount; that of the loop is in manifests/loop.",
        )


def _is_available(deployment: Mapping[str, Any]) -> bool:
    metadata, status = deployment.get("metadata", {}), deployment.get("status", {})
    wanted = deployment.get("spec", {}).get("replicas", 1)
    has_seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return bool(deployment) and has_seen and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
