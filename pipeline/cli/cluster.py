"""`conveyor cluster`: a local Kubernetes with Kubeflow Pipelines, or what an existing cluster needs for runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigArgument, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import ConveyorError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cluster.requirements import Lack
    from pipeline.config import Kubeflow, PipelineConfig
    from pipeline.util.kubectl import Kubectl

app = typer.Typer(help="Create, inspect and delete a cluster that runs pipelines.", no_args_is_help=True)

_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def up(config: ConfigArgument = None, overrides: Overrides = None, yes: _Yes = False) -> None:
    """Make the cluster ready for runs. After a failure, run it again: it continues where it stopped.

    A context kind-NAME, the default, is a cluster on this machine, created with kind. On any other context Kubeflow Pipelines
    and Conveyor are installed from the overlays `cluster` of manifests/, after a confirmation.

    Example: conveyor cluster up --yes
    """
    from rich.console import Console

    from pipeline.cluster import install

    settings = read_config(config, overrides)
    console = Console(highlight=False)
    installed = install.up(settings, console, lambda question: yes or _confirmed(question))
    _print_next(settings, installed.folder, installed.has_image)


@app.command()
def down(config: ConfigArgument = None, overrides: Overrides = None, yes: _Yes = False) -> None:
    """Delete the local cluster with its databases. The folder with data, artifacts and models stays.

    Example: conveyor cluster down
    """
    from rich.console import Console

    from pipeline.cluster.kind import KindCluster, cluster_name
    from pipeline.util.programs import require_programs

    context = read_config(config, overrides).kubeflow.context
    name = cluster_name(context)
    if name is None:
        raise UsageError(
            "Only a local cluster can be deleted.",
            where="kubeflow.context",
            expected="kind-NAME",
            seen=context,
            fix="docs/cluster-real.md says how to remove Conveyor from another cluster.",
        )
    require_programs("docker", "kind")
    local = KindCluster(name, Console(highlight=False))
    if not local.exists():
        typer.echo(f"There is no kind cluster {name!r}: nothing to delete.")
        return
    folder = local.require_ours()
    question = (
        f"Delete the kind cluster {name!r} with its databases (the list of runs, and their ML Metadata)? "
        f"Data, artifacts, models and backups stay in {folder}."
    )
    if not yes and not _confirmed(question):
        raise UsageError("Nothing was deleted.", where=f"kind cluster {name!r}", fix="Run: conveyor cluster down --yes")
    local.delete()
    typer.echo(f"Deleted. Data, artifacts, models and backups are still in {folder}.")


@app.command()
def status(config: ConfigArgument = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show what runs in the cluster, and what is not ready and why. The exit code is 1 when runs cannot start.

    What is missing for runs is listed, with the manifest that makes it.

    Example: conveyor cluster status
    """
    from rich.console import Console

    from pipeline.cluster import preflight
    from pipeline.cluster.requirements import Requirements
    from pipeline.cluster.retries import remark_on_retries

    settings = read_config(config, overrides)
    kubeflow = settings.kubeflow
    kubectl = preflight.open_kubectl(kubeflow.context, kubeflow.namespace, Console())
    requirements = Requirements(kubectl, kubeflow)
    rows, found = _workloads(kubectl, kubeflow, requirements.unseen)
    lacks = list(requirements.lacks())
    problems = [lack.error for lack in lacks] or _image_problem(kubeflow)
    problems += _log_in_problem(settings)
    manifest = _manifest(lacks)
    remark = remark_on_retries(kubectl.within(kubeflow.system_namespace))
    if as_json:
        facts = {"context": kubeflow.context, "server": preflight.server(kubeflow.context), "host": kubeflow.host}
        state = {"ready": not problems, "problem": str(problems[0]) if problems else None, "remark": remark}
        more = {"problems": [error.what for error in problems], "manifest": manifest, "unseen": requirements.unseen}
        print_json({**facts, **state, **more, "deployments": rows, "pods": found})
        raise typer.Exit(problems[0].exit_code if problems else 0)
    typer.echo(f"Context {kubeflow.context}, {preflight.server(kubeflow.context)}; dashboard: {kubeflow.host}")
    _print_workloads(rows, found)
    if remark:
        typer.echo(remark)
    if requirements.unseen:
        typer.echo(f"Not for this account to see, and taken to be there: {', '.join(requirements.unseen)}")
    if not problems:
        typer.echo("Runs can start: conveyor submit")
        return
    for error in problems[1:]:
        typer.echo(f"{error.what} ({error.where.partition(';')[0]})")
    if manifest:
        typer.echo(
            "The manifest of what is missing. Replace the words in capitals, then apply it, or hand it to somebody who may:\n"
        )
        typer.echo(manifest)
    raise problems[0]


def _workloads(kubectl: Kubectl, kubeflow: Kubeflow, unseen: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The Deployments of the namespaces that matter, and the pods that are not ready; into `unseen`, what may not be read."""
    from pipeline.cluster.checks import unready_pods, workloads
    from pipeline.cluster.install import SERVING_NAMESPACE
    from pipeline.cluster.requirements import is_forbidden
    from pipeline.util.programs import ProgramError

    rows: list[dict[str, Any]] = []
    pods: list[str] = []
    for namespace in dict.fromkeys((kubeflow.system_namespace, kubeflow.namespace, SERVING_NAMESPACE)):
        within = kubectl.within(namespace)
        try:
            rows += [
                {"namespace": namespace, "deployment": one.name, "ready": one.ready, "wanted": one.wanted}
                for one in workloads(within)
            ]
            pods += map(str, unready_pods(within))
        except ProgramError as error:
            if not is_forbidden(error):
                raise
            unseen.append(f"namespace {namespace}")
    return rows, pods


def _print_workloads(rows: Sequence[dict[str, Any]], unready: Sequence[str]) -> None:
    from pipeline.cluster.install import SERVING_NAMESPACE

    table = new_table("namespace", "deployment", "ready", right=("ready",))
    for row in rows:
        table.add_row(row["namespace"], row["deployment"], f"{row['ready']}/{row['wanted']}")
    print_table(table)
    if any(row["namespace"] == SERVING_NAMESPACE and row["ready"] < row["wanted"] for row in rows):
        typer.echo("The model server becomes ready when a run has pushed a model.")
    if unready:
        typer.echo("Not ready:\n" + "\n".join(unready))


def _image_problem(kubeflow: Kubeflow) -> list[ConveyorError]:
    from pipeline.cluster.preflight import require_image

    try:
        require_image(kubeflow)
    except ConveyorError as error:
        return [error]
    return []


def _log_in_problem(config: PipelineConfig) -> list[ConveyorError]:
    """Why the API does not let this account in, where it asks for a log-in."""
    from pipeline.kubeflow.client import KubeflowClient

    if config.kubeflow.auth is None:
        return []
    try:
        KubeflowClient(config).pipeline_id()
    except ConveyorError as error:
        return [error]
    return []


def _manifest(lacks: Sequence[Lack]) -> str:
    """The objects that make what is missing, as YAML; empty where none would."""
    from pipeline.cluster.gitops import as_yaml

    return as_yaml(one for lack in lacks for one in lack.objects)


def _confirmed(question: str) -> bool:
    """Asks for confirmation on a terminal.

    Raises:
      UsageError: there is no terminal, so nobody can answer.
    """
    import sys

    if not sys.stdin.isatty():
        raise UsageError("This needs a confirmation.", seen=question, fix="Add --yes.")
    return typer.confirm(question)


def _print_next(config: PipelineConfig, folder: Path | None, has_image: bool) -> None:
    kubeflow = config.kubeflow
    if folder is None:
        typer.echo(
            f"The dashboard, while this runs: kubectl --context {kubeflow.context} --namespace {kubeflow.namespace} "
            "port-forward service/ml-pipeline-ui 8080:80"
        )
    else:
        typer.echo(f"The dashboard: {kubeflow.host}\nThe volume of the runs: {folder}")
        if folder != config.workspace_path / "cluster":
            typer.echo("It is not in the workspace of this command: the cluster was made from another working directory.")
    if not has_image:
        typer.echo("Next: conveyor image build, then conveyor image load")
    elif folder is not None and not any((folder / "data").glob("*")):
        typer.echo(
            f"Next: put data into {folder / 'data'}, for the example with\n"
            f"  conveyor data flights --destination {folder / 'data' / 'flights'}\nthen: conveyor submit"
        )
    else:
        typer.echo("Next: conveyor submit")
