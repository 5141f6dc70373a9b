"""The versions of a pipeline's model in MLflow's registry, and the aliases that follow the rollout.

MLflow numbers versions by itself, so a tag says as what a version was pushed.
"""

from __future__ import annotations

from typing import Any

from pipeline.tracking.marks import Aliases
from pipeline.tracking.record import DESTINATION_TAG, DIGEST_TAG, PIPELINE_TAG, RUN_TAG, VERSION_TAG, RunRecord, TrackedModel
from pipeline.tracking.server import TrackingError, TrackingServer


def is_registered(server: TrackingServer, name: str, model: TrackedModel) -> bool:
    """Whether a pushed model is a version in the registry.

    Args:
      server: the server.
      name: the name of the registered model, which is made where it is missing.
      model: the model.

    Raises:
      TrackingError: the server is away, or refuses it.
    """
    try:
        server.post("registered-models/create", name=name)
    except TrackingError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise
    wanted = (model.destination, model.digest)
    found = map(_tags, _versions(server, name))
    return any((tags.get(DESTINATION_TAG, ""), tags.get(DIGEST_TAG, "")) == wanted for tags in found)


def register(server: TrackingServer, record: RunRecord, model: TrackedModel, run_id: str, source: str) -> None:
    """Makes a pushed model a version in the registry.

    Args:
      server: the server.
      record: the run that made it.
      model: the model.
      run_id: the server's id of the run.
      source: where the server has the model; empty where it has not.

    Raises:
      TrackingError: the server is away, or refuses it.
    """
    tags = {
        RUN_TAG: record.run_id,
        PIPELINE_TAG: record.pipeline,
        VERSION_TAG: model.version,
        DESTINATION_TAG: model.destination,
        DIGEST_TAG: model.digest,
    }
    server.post(
        "model-versions/create",
        name=record.pipeline,
        # MLflow asks for an address, and takes none of a folder that it does not hand out itself.
        source=source or f"conveyor://{record.pipeline}/{model.version}",
        run_id=run_id,
        description=f"Version {model.version} of {record.pipeline}, made by run {record.run_id}.",
        tags=[{"key": name, "value": value} for name, value in tags.items() if value],
    )


def move_aliases(server: TrackingServer, name: str, aliases: Aliases) -> None:
    """Gives the aliases to the versions that serve, and takes away those that none has.

    Args:
      server: the server.
      name: the name of the model.
      aliases: the versions that serve.

    Raises:
      TrackingError: the server is away, refuses it, or does not know such a version yet.
    """
    wanted = {"stable": aliases.stable, "canary": aliases.canary}
    # A number may be given again after the version was deleted: the newest of them counts.
    known = {_tags(each).get(DESTINATION_TAG): str(each["version"]) for each in _oldest_first(_versions(server, name))}
    missing = []
    for alias, version in wanted.items():
        found = known.get(f"{aliases.folder}/{version}")
        if version is None:
            _take_away(server, name, alias)
        elif found is None:
            missing.append(str(version))
        else:
            server.post("registered-models/alias", name=name, alias=alias, version=found)
    if missing:
        raise TrackingError(
            f"The registry does not know version {' and '.join(missing)} of {name}.",
            where=server.uri,
            expected=f"a version whose tag {DESTINATION_TAG} is {aliases.folder}/{missing[0]}",
            fix=f"Send the run that pushed it: conveyor track v{missing[0]}",
        )


def _take_away(server: TrackingServer, name: str, alias: str) -> None:
    try:
        server.delete("registered-models/alias", name=name, alias=alias)
    except TrackingError as error:
        # The model is not registered yet. That nothing has the alias is no error.
        if error.code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _versions(server: TrackingServer, name: str) -> list[dict[str, Any]]:
    return list(server.pages("model-versions/search", "model_versions", filter=f"name='{name}'"))


def _oldest_first(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(versions, key=lambda each: int(each["version"]))


def _tags(version: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in version.get("tags", ())}
