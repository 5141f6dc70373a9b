"""A run on the tracking server: made once, and completed by whoever sends it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from pipeline.tracking import registry
from pipeline.tracking.mlmodel import FILE_NAME, SAVED_MODEL, mlmodel
from pipeline.tracking.record import PIPELINE_TAG, RUN_TAG, RunRecord, TrackedModel
from pipeline.tracking.server import PROXIED, TrackingError, TrackingServer

# As many as MLflow takes at once.
_PARAMETERS, _METRICS, _TAGS = 100, 1000, 100
_MODEL = "model"
_Item = TypeVar("_Item")


def send_run(server: TrackingServer, experiment: str, record: RunRecord) -> str:
    """Sends a run, its files and its model. What the server has already is left as it is.

    Args:
      server: the server.
      experiment: the name of the experiment, which is made where it is missing.
      record: the run.

    Returns:
      The server's id of the run.

    Raises:
      TrackingError: the server is away, or refuses something.
      OSError: a file cannot be read.
    """
    found = _find(server, _experiment_id(server, experiment), record)
    run_id = str(found["info"]["run_id"])
    _send_values(server, run_id, record, {each["key"] for each in found.get("data", {}).get("params", ())})
    root = str(found["info"]["artifact_uri"])
    takes_files = root.startswith(f"{PROXIED}:")
    if takes_files:
        for name, path in record.files.items():
            server.upload(root, name, path)
    # A run in which nothing has changed has the model of an earlier one.
    if record.model is not None and not registry.is_registered(server, record.pipeline, record.model):
        if takes_files:
            _upload_model(server, root, record.model, run_id)
        source = f"{root}/{_MODEL}" if takes_files else ""
        registry.register(server, record, record.model, run_id, source)
    ended = {"status": record.status, "end_time": _milliseconds(record.ended)}
    server.post("runs/update", run_id=run_id, run_name=record.run_id, **ended)
    return run_id


def _experiment_id(server: TrackingServer, name: str) -> str:
    try:
        found = server.get("experiments/get-by-name", experiment_name=name)["experiment"]
    except TrackingError as error:
        if error.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return str(server.post("experiments/create", name=name)["experiment_id"])
    identity = str(found["experiment_id"])
    if found.get("lifecycle_stage") == "deleted":
        raise TrackingError(
            "The experiment has been deleted.",
            where=f"{server.uri}, experiment {name}",
            expected="one that takes runs",
            seen=f"experiment {identity}, deleted",
            fix=f"Restore it: MLFLOW_TRACKING_URI={server.uri} mlflow experiments restore --experiment-id {identity}, or name "
            "another one: tracking.mlflow.experiment. Then: conveyor track",
        )
    return identity


def _find(server: TrackingServer, experiment: str, record: RunRecord) -> dict[str, Any]:
    """The run as the server has it: one that an earlier attempt has made, or a new one."""
    # Runs of different pipelines, which may share an experiment, have the same id if they began in the same second.
    wanted = f"tags.`{RUN_TAG}` = '{record.run_id}' AND tags.`{PIPELINE_TAG}` = '{record.pipeline}'"
    found = server.post("runs/search", experiment_ids=[experiment], filter=wanted, max_results=1).get("runs")
    if found:
        return dict(found[0])
    return dict(
        server.post(
            "runs/create",
            experiment_id=experiment,
            run_name=record.run_id,
            start_time=_milliseconds(record.started),
            tags=_pairs(record.tags),
        )["run"]
    )


def _send_values(server: TrackingServer, run_id: str, record: RunRecord, known: set[str]) -> None:
    # MLflow takes a parameter once, and the same value of a metric at the same time as often as it is sent.
    parameters = _pairs({name: value for name, value in record.parameters.items() if name not in known})
    at = _milliseconds(record.ended)
    metrics = [{"key": each.name, "value": each.value, "step": each.step, "timestamp": at} for each in record.metrics]
    for name, items, size in (
        ("params", parameters, _PARAMETERS),
        ("metrics", metrics, _METRICS),
        ("tags", _pairs(record.tags), _TAGS),
    ):
        for batch in _batches(items, size):
            server.post("runs/log-batch", run_id=run_id, **{name: batch})


def _upload_model(server: TrackingServer, root: str, model: TrackedModel, run_id: str) -> None:
    for path in sorted(model.folder.rglob("*")):
        if path.is_file():
            server.upload(root, f"{_MODEL}/{SAVED_MODEL}/{path.relative_to(model.folder).as_posix()}", path)
    server.upload(root, f"{_MODEL}/{FILE_NAME}", mlmodel(model.columns, run_id).encode())


def _batches(items: Sequence[_Item], size: int) -> list[list[_Item]]:
    left = iter(items)
    return [list(islice(left, size)) for _ in range(0, len(items), size)]


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
