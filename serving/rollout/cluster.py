"""A rollout in a cluster: a Deployment of model servers for the stable version, and one for the canary."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from pipeline.errors import ConveyorError, StorageError, UsageError
from pipeline.util.pods import is_ready
from serving.rollout.counts import follows, read_metrics
from serving.rollout.model_folder import Versions
from serving.rollout.model_servers import RunningServer, available
from serving.rollout.models_config import render, render_versions
from serving.rollout.objects import Objects
from serving.rollout.placement import CANARY, Placement
from serving.rollout.state import MENDED, RolloutState
from serving.rollout.target import move
from serving.rollout.versions import PushedVersion

STABLE_DEPLOYMENT, CANARY_DEPLOYMENT, GATEWAY = "serving", "serving-canary", "gateway"
"""Names of Deployments in manifests/serving and manifests/gateway, and of their pods in the label app.kubernetes.io/name."""

STABLE_CONFIG, CANARY_CONFIG, STATE = "serving-config", "serving-canary-config", "serving-rollout"
"""ConfigMaps in manifests/serving."""

_STATE_KEY, _CONFIG_KEY, _PODS_KEY = "rollout.json", "models.config", "stable-pods"
"""Keys of ConfigMaps. The last one is there while there is a canary, beside its models.config: how many stable pods answered
everything before. An autoscaler may take some of them meanwhile, and they are needed again when the canary ends."""

_POLL_SECONDS = 2.0

_CHANGED = "conveyor/configuration-changed"
"""An annotation of pods. A kubelet brings a changed ConfigMap into a pod within a minute or two, and at once if the pod changes
too: https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/."""


class ClusterTarget:
    """The objects of the namespace that model servers and gateways are in.

    A changed ConfigMap is brought into the pods at once, if this user may annotate pods, and else within a minute or two.
    Stable pods never load the canary: a request without a label gets the stable version.

    Args:
      model: the model's name.
      objects: those of the namespace of the model servers.
      models: the model's versions.
      tell: gets messages for the person.
      timeout: seconds that each step may take.
    """

    place = "cluster"
    # Also where this user may not hasten it.
    follow_seconds = 180.0

    def __init__(
        self,
        model: str,
        objects: Objects,
        models: Versions,
        tell: Callable[[str], None],
        timeout: float,
    ) -> None:
        self.model = model
        self._objects, self._models = objects, models
        self._tell, self._timeout = tell, timeout
        self._revision = ""

    def locked(self) -> AbstractContextManager[None]:
        """Locks nothing: the second of two commands cannot write the state."""
        return nullcontext()

    def read(self) -> RolloutState:
        """Reads the state from its ConfigMap."""
        found = self._config_map(STATE)
        self._revision = found["metadata"]["resourceVersion"]
        text = (found.get("data") or {}).get(_STATE_KEY, "")
        try:
            return RolloutState.from_json(text.encode()) if text else RolloutState()
        except ValueError as error:
            raise StorageError(
                "The state of the rollout cannot be read.",
                where=f"ConfigMap {STATE}, key {_STATE_KEY}",
                expected="what `conveyor rollout` writes",
                seen=str(error),
                fix=f"{MENDED} To edit it: kubectl -n conveyor-serving edit configmap {STATE}",
            ) from error

    def write(self, state: RolloutState) -> None:
        """Replaces the state in its ConfigMap."""
        patch = {"metadata": {"resourceVersion": self._revision}, "data": {_STATE_KEY: state.to_json()}}
        if not self._objects.patch(STATE, patch):
            raise UsageError(
                "Somebody else has changed the rollout meanwhile.",
                where=f"ConfigMap {STATE}",
                expected=f"resource version {self._revision}",
                seen=self._config_map(STATE)["metadata"]["resourceVersion"],
                fix="Look at its present state, then try again: conveyor rollout status --target cluster",
            )
        self._hasten(GATEWAY)

    def versions(self) -> list[PushedVersion]:
        """The versions on the volume."""
        return self._models.versions()

    def digest(self, version: int) -> str:
        """The digest of a version's model, by its description."""
        return self._models.digest(version)

    def servers(self) -> dict[str, list[int]]:
        """The model servers by pod."""
        found = {}
        for deployment in (STABLE_DEPLOYMENT, CANARY_DEPLOYMENT):
            with self._servers(deployment) as servers:
                answers = {name: server.versions() for name, server in servers.items()}
            found.update({name: available(versions) for name, versions in answers.items() if versions is not None})
        return found

    def silent(self, answering: Collection[str]) -> list[str]:
        """The pods of the stable version and of the gateways that have not ended, ready or not."""
        pods = [pod for name in (STABLE_DEPLOYMENT, GATEWAY) for pod in self._objects.pods(name)]
        at_work = [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        return [name for name in at_work if name not in answering]

    def drift(self, placement: Placement) -> str:
        """The difference between ConfigMaps, Deployments and a placement."""
        wanted = {STABLE_CONFIG: self._stable_text(placement), CANARY_CONFIG: self._canary_text(placement)}
        wrong = [name for name, text in wanted.items() if self._text(name) != text]
        if wrong:
            return f"ConfigMap {' and '.join(wrong)} does not agree with the state ({placement})"
        replicas, share = self._replicas(CANARY_DEPLOYMENT), self._share(placement)
        if replicas != share:
            return f"Deployment {CANARY_DEPLOYMENT} has {replicas} pods, but {share} by the state ({placement})"
        return ""

    def expand(self, before: Placement, after: Placement) -> None:
        """Makes the stable pods take over the versions, and starts pods for the canary, or for what it has answered so far."""
        whole = max(self._whole(), self._replicas(STABLE_DEPLOYMENT))
        if after.canary is None:
            self._grow_stable(whole, wait=after.stable != before.stable)
        with self._servers(STABLE_DEPLOYMENT) as servers:
            if not servers:
                self._tell(f"Deployment {STABLE_DEPLOYMENT} has no pod that is ready: the next one serves this.")
            else:
                move(list(servers.values()), _stable(before), _stable(after), self._configure, self._timeout)
        if after.canary is not None:
            self._remember_whole(whole)
            self._write_text(CANARY_CONFIG, self._canary_text(after))
            # Fewer pods are for `settle`, when no gateway sends them more any longer.
            if self._replicas(CANARY_DEPLOYMENT) < (share := self._share(after)):
                self._objects.scale(CANARY_DEPLOYMENT, share)
            self._objects.wait_until_available(CANARY_DEPLOYMENT, self._timeout)
            with self._servers(CANARY_DEPLOYMENT) as servers:
                for server in servers.values():
                    server.wait_until_labelled({CANARY: after.canary}, self._timeout)

    def settle(self, placement: Placement) -> None:
        """Stops those of the canary's pods that no gateway needs, and cleans the ConfigMaps."""
        self._write_text(STABLE_CONFIG, self._stable_text(placement))
        if self._replicas(CANARY_DEPLOYMENT) > (share := self._share(placement)):
            self._wait_for_gateways(placement)
            self._objects.scale(CANARY_DEPLOYMENT, share)
        self._write_text(CANARY_CONFIG, self._canary_text(placement))
        if placement.canary is None:
            self._remember_whole(None)

    def pages(self) -> dict[str, str]:
        """The metrics pages of the gateways by pod, of all that are ready."""
        pages = {}
        for pod in self._ready_pods(GATEWAY):
            name = pod["metadata"]["name"]
            pages[name] = ""
            # A pod may end at any time.
            with suppress(ConveyorError), self._objects.reach(pod, _port(pod, "http")) as address:
                pages[name] = read_metrics(f"http://{address}")
        return pages

    def delete(self, versions: Collection[int]) -> None:
        """Deletes versions from the volume."""
        self._models.delete(versions)

    def _stable_text(self, placement: Placement) -> str:
        """Empty before the first rollout: ConfigMap serving-default then says that the newest version serves."""
        return render(self.model, self._base_path, _stable(placement)) if placement.stable is not None else ""

    def _canary_text(self, placement: Placement) -> str:
        if placement.canary is None:
            return ""
        return render_versions(self.model, self._base_path, (placement.canary,), {CANARY: placement.canary})

    @property
    def _base_path(self) -> str:
        return f"/models/{self.model}"

    def _configure(self, versions: Collection[int], labels: Mapping[str, int]) -> None:
        text = render_versions(self.model, self._base_path, versions, labels) if versions else ""
        self._write_text(STABLE_CONFIG, text)

    def _text(self, config_map: str) -> str:
        return str((self._config_map(config_map).get("data") or {}).get(_CONFIG_KEY, ""))

    def _write_text(self, config_map: str, text: str) -> None:
        if self._text(config_map) != text:
            self._objects.patch(config_map, {"data": {_CONFIG_KEY: text or None}})
            self._hasten(STABLE_DEPLOYMENT if config_map == STABLE_CONFIG else CANARY_DEPLOYMENT)

    def _hasten(self, deployment: str) -> None:
        """Lets the kubelets bring a changed ConfigMap into the pods of a Deployment now."""
        pods = [pod["metadata"]["name"] for pod in self._ready_pods(deployment)]
        if not pods:
            return
        try:
            self._objects.annotate(pods, _CHANGED, f"{time.time():.0f}")
        except ConveyorError as error:
            self._tell(f"The change reaches the pods of {deployment} within a minute or two: {error.seen or error.what}")

    def _config_map(self, name: str) -> dict[str, Any]:
        return self._require("configmap", name)

    def _require(self, kind: str, name: str) -> dict[str, Any]:
        found = self._objects.get(kind, name)
        if found is None:
            raise UsageError(
                f"The cluster has no {kind} {name}.",
                where=kind,
                expected="the objects of manifests/serving",
                fix="Run conveyor cluster up, or apply an overlay of manifests/serving.",
            )
        return found

    def _replicas(self, deployment: str) -> int:
        return int(self._require("deployment", deployment)["spec"].get("replicas", 1))

    def _whole(self) -> int:
        """The pods for all of the traffic: those that the stable version had before the canary, or has without one."""
        return self._remembered_whole() or self._replicas(STABLE_DEPLOYMENT)

    def _remembered_whole(self) -> int:
        return int((self._config_map(CANARY_CONFIG).get("data") or {}).get(_PODS_KEY, 0))

    def _remember_whole(self, pods: int | None) -> None:
        if (pods or 0) != self._remembered_whole():
            self._objects.patch(CANARY_CONFIG, {"data": {_PODS_KEY: None if pods is None else str(pods)}})

    def _share(self, placement: Placement) -> int:
        """The canary's share of the pods for all of the traffic; one for a shadow."""
        return 0 if placement.canary is None else max(math.ceil(self._whole() * placement.traffic / 100), 1)

    def _grow_stable(self, pods: int, *, wait: bool) -> None:
        """Gives the stable version pods for all of the traffic again. Without them it goes on all the same.

        Args:
          pods: how many.
          wait: whether to wait until they are ready; a canary that is bad ends at once.
        """
        if self._replicas(STABLE_DEPLOYMENT) >= pods:
            return
        try:
            self._objects.scale(STABLE_DEPLOYMENT, pods)
            if wait:
                self._objects.wait_until_available(STABLE_DEPLOYMENT, self._timeout)
        except ConveyorError as error:
            self._tell(
                f"Deployment {STABLE_DEPLOYMENT} does not have the {pods} pods yet that it had before the canary: "
                f"{error.seen or error.what}"
            )

    def _ready_pods(self, name: str) -> list[dict[str, Any]]:
        return [pod for pod in self._objects.pods(name) if is_ready(pod)]

    @contextmanager
    def _servers(self, deployment: str) -> Iterator[dict[str, RunningServer]]:
        """The model servers in pods that are ready, by the pod's name."""
        with ExitStack() as stack:
            servers = {}
            for pod in self._ready_pods(deployment):
                name = pod["metadata"]["name"]
                address = stack.enter_context(self._objects.reach(pod, _port(pod, "grpc")))
                servers[name] = RunningServer(address, self.model)
            yield servers

    def _wait_for_gateways(self, placement: Placement) -> None:
        """Waits until no gateway sends requests to the canary any more.

        Raises:
          ConveyorError: a gateway goes on.
        """
        end = time.monotonic() + self.follow_seconds
        while True:
            pages = self.pages().items()
            late = [name for name, page in pages if not follows(page, placement.traffic, shadow=placement.shadow)]
            if not late:
                return
            if time.monotonic() > end:
                raise ConveyorError(
                    "A gateway goes on sending requests to the canary, so its pods were left running.",
                    where=", ".join(late),
                    expected=f"the new state within {self.follow_seconds:g} s",
                    fix="Read the gateway's log, then: conveyor rollout repair --target cluster",
                )
            time.sleep(_POLL_SECONDS)


def _port(pod: Mapping[str, Any], name: str) -> int:
    """The number of a port that the manifests give a name."""
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports", ()))
    return next(int(port["containerPort"]) for port in ports if port.get("name") == name)


def _stable(placement: Placement) -> Placement:
    """The part of a placement that the stable pods serve."""
    return Placement(stable=placement.stable)
