"""Installs what runs need, from nothing to a cluster that runs pipelines.

Each step looks at what is there, so that a second try continues where the first one ended.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.cluster import image as images
from pipeline.cluster.checks import unready_pods
from pipeline.cluster.kind import KindCluster, cluster_name
from pipeline.cluster.manifests import manifest, render, render_all, require_matching_names
from pipeline.cluster.preflight import contexts, require_answer, require_context, server
from pipeline.cluster.requirements import PREPARE_JOB
from pipeline.errors import ConveyorError, UsageError
from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError, require_programs

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

NAMESPACE = "kubeflow"
"""The namespace that Kubeflow Pipelines' own manifests install it into."""

SERVING_NAMESPACE = "conveyor-serving"
"""The namespace of the model server and the gateway."""

METADATA = "conveyor-metadata"
"""The name of the metadata database's Deployment, Service and volume, and of the Secret with its address."""

_OURS = {"app.kubernetes.io/managed-by": "conveyor"}
_NEEDS_IMAGE = (("Job", PREPARE_JOB), ("StatefulSet", "conveyor-shell"))
_START_SECONDS = 120
_APPLY_SECONDS = 600
_ROLLOUT_SECONDS = 1200
_PREPARE_SECONDS = 600
_POLL_SECONDS = 2.0
_FETCH_FIX = "Check the network or the proxy (HTTPS_PROXY): GitHub must be reachable. `conveyor cluster up` continues from here"


@dataclass(frozen=True)
class Installed:
    """What `up` has installed.

    Attributes:
      folder: the folder of this machine that is the volume; None on a cluster that is not local.
      has_image: whether pods can run the task image; where they cannot, the volume is not prepared yet.
    """

    folder: Path | None
    has_image: bool


def up(config: PipelineConfig, console: Console, agreed: Callable[[str], bool]) -> Installed:
    """Makes the cluster of a configuration ready for runs, or continues where an earlier try ended.

    A context `kind-NAME` is a local cluster, which is created where it is missing. Any other is an existing cluster, to which
    only the overlays `cluster` are applied.

    Args:
      config: the pipeline's configuration, whose section `kubeflow` names the cluster.
      console: where steps and command lines are shown.
      agreed: asks the user the given question: whether to change a cluster that is not local.

    Raises:
      UsageError: nothing was changed: a program is missing, the cluster was not made by Conveyor, a port is taken, or a
        manifest still has to be edited.
      ConveyorError: a step failed; what was done stays, and the next try continues from there.
    """
    with _can_be_continued():
        return _Installation(config, console).run(agreed)


def prepare(config: PipelineConfig, console: Console) -> None:
    """Prepares the volume and the metadata database where `up` had to leave that out because the image was missing.

    Does nothing where that is done already, or where `up` has not come that far.

    Args:
      config: the pipeline's configuration, whose section `kubeflow` names the cluster.
      console: where steps and command lines are shown.

    Raises:
      ConveyorError: it failed; the next try continues from there.
    """
    with _can_be_continued():
        _Installation(config, console).prepare()


@contextmanager
def _can_be_continued() -> Iterator[None]:
    """Adds to the error of a program that failed how to continue."""
    try:
        yield
    except ProgramError as error:
        error.fix = error.fix or "`conveyor cluster up` continues from here"
        raise


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    """Shows a step while the block runs: a running clock on a terminal, a line at its beginning and end elsewhere.

    What the block prints on the console stands above the clock.
    """
    started = time.monotonic()
    console.print(Text(title, style="bold"), soft_wrap=True)
    ended = Text("✗ failed", style="red")
    columns = (TextColumn(" "), SpinnerColumn(), TextColumn(title, markup=False), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            progress.add_task(title, total=None)
            yield
        ended = Text("✓ done", style="green")
    finally:
        ended.append(f" ({time.monotonic() - started:.1f} s)", style="dim")
        console.print(ended)


class _Installation:
    def __init__(self, config: PipelineConfig, console: Console) -> None:
        self.config, self.kubeflow, self.console = config, config.kubeflow, console
        name = cluster_name(config.kubeflow.context)
        self.kind = None if name is None else KindCluster(name, console)
        self.overlay = "cluster" if self.kind is None else "kind"
        self.kubectl = Kubectl(config.kubeflow.context, NAMESPACE, console)
        self.folder = config.workspace_path / "cluster"

    def run(self, agreed: Callable[[str], bool]) -> Installed:
        # A registry gives digests; images of a kind cluster are loaded.
        if self.kind or "@" not in self.kubeflow.image:
            images.check_name(self.kubeflow.image)
        self._check_namespace()
        require_matching_names(self.kubeflow)
        self._check_programs()
        manifest(f"kubeflow/overlays/{self.overlay}")
        ours = render_all(self.overlay, self.config)
        if self.kind is None:
            self._check_cluster(agreed)
        else:
            self._make_local_cluster(self.kind)
        self._make_namespace()
        self._install_kubeflow()
        self._make_secret(ours)
        has_image = self._bring_image()
        with _step(self.console, "Install the volume, the metadata database, the model server and the gateway"):
            self._keep_canary(ours)
            self._apply("--filename", "-", input=yaml.safe_dump_all(one for one in ours if not _needs_image(one)))
        self._wait_for_deployments()
        if has_image:
            self._prepare(ours)
        return Installed(self.folder if self.kind else None, has_image)

    def prepare(self) -> None:
        require_programs("kubectl")
        if self.kubeflow.context not in contexts() or self.kubectl.get("deployment", METADATA) is None:
            return
        job = self.kubectl.get("job", PREPARE_JOB) or {}
        if not job.get("status", {}).get("succeeded"):
            self._prepare(render(manifest(f"conveyor/overlays/{self.overlay}"), self.kubeflow))

    def _check_namespace(self) -> None:
        if self.kubeflow.namespace != NAMESPACE:
            raise UsageError(
                f"Kubeflow Pipelines is installed into the namespace {NAMESPACE} and no other.",
                where="kubeflow.namespace",
                expected=NAMESPACE,
                seen=self.kubeflow.namespace,
                fix="Leave kubeflow.namespace out. docs/cluster-real.md says what to do where Kubeflow is installed already.",
            )

    def _check_programs(self) -> None:
        require_programs(*(["docker", "kind"] if self.kind else []), "kubectl", "git")
        if self.kind is None and "/" not in self.kubeflow.image:
            raise UsageError(
                "The image's name has no registry, and the cluster has to pull it from one.",
                where="kubeflow.image",
                expected=f"REGISTRY/{self.kubeflow.image}",
                seen=self.kubeflow.image,
                fix="`conveyor image push` brings it to a registry; name it with --set kubeflow.image=REGISTRY/NAME:TAG",
            )

    def _check_cluster(self, agreed: Callable[[str], bool]) -> None:
        require_context(self.kubeflow.context)
        require_answer(self.kubectl)
        self._require_our_namespace()
        question = (
            f"Install Kubeflow Pipelines and Conveyor on context {self.kubeflow.context}, {server(self.kubeflow.context)}?"
        )
        if not agreed(question):
            raise UsageError(
                "Nothing was changed.", where=f"context {self.kubeflow.context}", fix="Run: conveyor cluster up --yes"
            )

    def _make_local_cluster(self, kind: KindCluster) -> None:
        there = kind.exists()
        if there:
            self.folder = kind.require_ours()
        else:
            kind.require_free_ports()
        kind.warn_if_small()
        with _step(self.console, f"Start the kind cluster {kind.name!r}, and wait for its node"):
            if there:
                kind.start()
                if self.kubeflow.context not in contexts():
                    kind.export_context()
            else:
                kind.create(self.folder)
            self._wait_for_answer()
            self.kubectl.run(
                *("wait", "node", "--all", "--for=condition=Ready", "--timeout=180s"),
                fix="If it does not become ready: conveyor cluster down, then conveyor cluster up",
            )

    def _wait_for_answer(self) -> None:
        # A node that was just started takes a while.
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return require_answer(self.kubectl)
            except ConveyorError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    def _require_our_namespace(self) -> bool:
        """Whether the namespace exists.

        Raises:
          UsageError: it does, and Conveyor did not make it.
        """
        found = self.kubectl.get("namespace", NAMESPACE)
        if found is not None and not _OURS.items() <= found["metadata"].get("labels", {}).items():
            raise UsageError(
                f"The namespace {NAMESPACE} was not made by Conveyor, which does not change it.",
                where=f"context {self.kubeflow.context}",
                expected=f"no such namespace, or one with the label {'='.join(*_OURS.items())}",
                fix="Where Kubeflow is installed already, docs/cluster-real.md says how to install the rest.",
            )
        return found is not None

    def _make_namespace(self) -> None:
        if self._require_our_namespace():
            return
        with _step(self.console, f"Make the namespace {NAMESPACE}"):
            self._create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": _OURS}})

    def _install_kubeflow(self) -> None:
        with _step(self.console, "Install the definitions of Kubeflow Pipelines, fetched from GitHub"):
            self._apply("--kustomize", str(manifest("kubeflow/cluster-scoped")), fix=_FETCH_FIX)
            self.kubectl.run("wait", "crd/applications.app.k8s.io", "--for=condition=established", "--timeout=60s")
        with _step(self.console, "Install Kubeflow Pipelines: the API server, the dashboard, and what they need"):
            self._apply("--kustomize", str(manifest(f"kubeflow/overlays/{self.overlay}")), fix=_FETCH_FIX)

    def _make_secret(self, ours: Sequence[dict[str, Any]]) -> None:
        if self.kubectl.get("secret", METADATA) is not None:
            return
        if not any(_is(one, "Deployment", METADATA) for one in ours):
            raise ConveyorError(
                f"There is no Secret {METADATA} with the address of the metadata database.",
                where=f"context {self.kubeflow.context}, namespace {NAMESPACE}",
                expected="one that was made by hand, as the manifests leave out the database",
                fix=f"{self._kubectl_command} create secret generic {METADATA} --from-file=url=FILE, with "
                "mysql:// or postgresql://USER:PASSWORD@HOST:PORT/DATABASE in FILE; then: conveyor cluster up",
            )
        if self.kubectl.get("persistentvolumeclaim", METADATA) is not None:
            raise ConveyorError(
                "The metadata database exists, but the Secret with its password does not.",
                where=f"Secret {METADATA}; context {self.kubeflow.context}, namespace {NAMESPACE}",
                fix="Restore it, or begin with an empty database: "
                f"{self._kubectl_command} delete deployment,pvc {METADATA}, then conveyor cluster up",
            )
        with _step(self.console, f"Make the Secret {METADATA}: a random password for the metadata database"):
            self._create(_metadata_secret())

    def _bring_image(self) -> bool:
        """Whether pods can run the image."""
        name = self.kubeflow.image
        if self.kind is None:
            return True
        try:
            images.require(name)
        except UsageError:
            # With a registry in its name, the cluster can pull it.
            return "/" in name or self.kind.has_image(name)
        with _step(self.console, f"Load the image {name} into the cluster"):
            images.load(name, self.kubeflow.context, self.console)
        return True

    def _keep_canary(self, ours: Sequence[dict[str, Any]]) -> None:
        """Keeps the replicas of a canary that is in progress; the manifests begin with none."""
        from serving.rollout.cluster import CANARY_DEPLOYMENT

        found = self.kubectl.within(SERVING_NAMESPACE).get("deployment", CANARY_DEPLOYMENT)
        for one in ours:
            if found is not None and _is(one, "Deployment", CANARY_DEPLOYMENT):
                one["spec"]["replicas"] = found["spec"]["replicas"]

    def _wait_for_deployments(self) -> None:
        with _step(self.console, "Wait for every Deployment; the first time, their images are fetched"):
            try:
                self.kubectl.run(
                    *("wait", "deployment", "--all", "--for=condition=Available", f"--timeout={_ROLLOUT_SECONDS}s"),
                    timeout=_ROLLOUT_SECONDS + 60,
                )
            except ProgramError as error:
                raise self._not_ready("Not every Deployment became available.", seen=error.stderr) from error

    def _prepare(self, ours: Sequence[dict[str, Any]]) -> None:
        with _step(self.console, f"Run the Job {PREPARE_JOB}: folders of the volume, tables of the metadata database"):
            # The template of a Job cannot be changed, and one that has ended does not run again.
            self.kubectl.run("delete", "job", PREPARE_JOB, "--ignore-not-found", "--timeout=120s")
            self._apply("--filename", "-", input=yaml.safe_dump_all(one for one in ours if _needs_image(one)))
            deadline = time.monotonic() + _PREPARE_SECONDS
            while time.monotonic() < deadline:
                job = self.kubectl.get("job", PREPARE_JOB) or {}
                ended = {one["type"] for one in job.get("status", {}).get("conditions", ()) if one["status"] == "True"}
                if "Complete" in ended:
                    return
                if "Failed" in ended:
                    break
                time.sleep(_POLL_SECONDS)
            raise self._not_ready(f"The Job {PREPARE_JOB} did not succeed.", look=f"logs job/{PREPARE_JOB} --all-containers")

    def _not_ready(self, what: str, *, seen: str = "", look: str = "") -> ConveyorError:
        found = unready_pods(self.kubectl)
        look = look or (f"describe pod {found[0].pod}" if found else "get pods")
        return ConveyorError(
            what,
            where=f"context {self.kubeflow.context}, namespace {NAMESPACE}",
            seen="\n".join(map(str, found)) or seen,
            fix=f"For details: {self._kubectl_command} {look}\n"
            "`conveyor cluster up` continues from here; slow networks need it more than once.",
        )

    @property
    def _kubectl_command(self) -> str:
        return f"kubectl --context {self.kubeflow.context} --namespace {NAMESPACE}"

    def _create(self, document: dict[str, Any]) -> None:
        # Standard input is not shown, unlike arguments.
        self.kubectl.run("create", "--filename", "-", input=json.dumps(document))

    def _apply(self, *arguments: str, input: str | None = None, fix: str = "") -> None:
        # Objects name their namespaces, which are several: kubectl refuses those that are not the one on its command line.
        self.kubectl.within("").run("apply", *arguments, input=input, timeout=_APPLY_SECONDS, fix=fix)


def _metadata_secret() -> dict[str, Any]:
    password = secrets.token_urlsafe(24)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": METADATA, "labels": _OURS},
        "stringData": {
            "password": password,
            "root-password": secrets.token_urlsafe(24),
            "url": f"mysql://conveyor:{password}@{METADATA}:3306/conveyor",
        },
    }


def _needs_image(one: dict[str, Any]) -> bool:
    """Whether applying it starts a pod of the task image."""
    return any(_is(one, kind, name) for kind, name in _NEEDS_IMAGE)


def _is(one: dict[str, Any], kind: str, name: str) -> bool:
    return bool(one["kind"] == kind and one["metadata"]["name"] == name)
