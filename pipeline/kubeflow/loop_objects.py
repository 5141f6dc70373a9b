"""The objects of a loop and of looks in the cluster: those of manifests/loop, with a pipeline's configuration and package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.cluster.manifests import manifest, require_matching_names, set_image
from pipeline.errors import UsageError
from pipeline.kubeflow.pod_config import in_cluster, without_folders
from pipeline.runs.database import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

CONFIG_FILE, PACKAGE_FILE = "pipeline.yaml", "package.yaml"
_FOLDER, _NAME = "loop", "conveyor-loop"
_PART_OF = {"app.kubernetes.io/part-of": "conveyor"}
# What Kubernetes lets a key of a ConfigMap be, and all of its data together.
_KEY, _ROOM = re.compile(r"(?!\.$|\.\.)[-._a-zA-Z0-9]{1,253}"), 1 << 20
_API = "http://ml-pipeline.{}:8888"


def loop_objects(config: PipelineConfig, package: str) -> list[dict[str, Any]]:
    """The objects to be applied.

    Args:
      config: the pipeline's configuration, on this machine.
      package: what was compiled from it: runs of the loop are runs of this package.

    Raises:
      ConfigError: the configuration names files that pods cannot reach.
      UsageError: the manifests are missing, or made for other names than the configuration has; one has to log in; files have
        names that cannot be, or are too large.
    """
    kubeflow = config.kubeflow
    require_matching_names(kubeflow)
    if kubeflow.auth is not None:
        raise UsageError(
            "A loop in the cluster starts its runs on a Kubeflow without profiles.",
            where="kubeflow.auth",
            expected="none",
            seen="a log-in",
            fix="Run the pipeline by the clock, and try its versions by hand: conveyor schedule, conveyor rollout",
        )
    fields, files = config_of_loop(config)
    data = {**files, CONFIG_FILE: yaml.safe_dump(fields, sort_keys=False), PACKAGE_FILE: package}
    _require_room(data)
    folder = manifest(_FOLDER)
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    objects = [one for name in resources for one in yaml.safe_load_all((folder / name).read_text())]
    metadata = {"name": _NAME, "namespace": "kubeflow", "labels": {"app.kubernetes.io/name": _NAME}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    for one in (config_map, *objects):
        one["metadata"]["labels"] |= _PART_OF
        if one["kind"] == "CronJob":
            template = one["spec"]["jobTemplate"]["spec"]["template"]
            template["metadata"]["labels"] |= _PART_OF
            set_image(template["spec"], kubeflow)
            (container,) = template["spec"]["containers"]
            secrets = {ENVIRONMENT_VARIABLE: kubeflow.metadata, **kubeflow.environment}
            container["env"] = [
                {"name": name, "valueFrom": {"secretKeyRef": {"name": each.secret, "key": each.key}}}
                for name, each in secrets.items()
            ]
    return [_within(one, kubeflow.namespace) for one in (config_map, *objects)]


def config_of_loop(config: PipelineConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration as a pod of the cluster needs it, and the content of the files that it names, by their names.

    Raises:
      ConfigError: data are read from, or models pushed to, a place outside the volume.
      UsageError: a file cannot be read, or has a name that another has or that cannot be.
    """
    there, files = in_cluster(config), dict[str, str]()
    named = {
        "schema.path": there.schema_source.path,
        "gateway.feature_schema": there.gateway.feature_schema,
        "push.public_key": there.push.public_key,
    }
    for field, path in named.items():
        if path is not None:
            _add(files, field, path, _read(config.resolve(path)))
    key, host = there.push.public_key, _API.format(config.kubeflow.system_namespace)
    settings = without_folders(there)
    settings = settings.model_copy(
        update={
            "push": settings.push.model_copy(update={"public_key": key and Path(key).name}),
            "kubeflow": settings.kubeflow.model_copy(update={"host": host}),
        }
    )
    return settings.model_dump(mode="json", by_alias=True, exclude_defaults=True), files


def _add(files: dict[str, str], field: str, path: str, content: str) -> None:
    """Adds a file by its name: in the cluster, all are in one folder."""
    name = Path(path).name
    if not _KEY.fullmatch(name):
        problem, expected = "cannot be that of a file in the cluster", "letters, digits, -, _ and ., but not .. first"
    elif name in (CONFIG_FILE, PACKAGE_FILE) or files.get(name, content) != content:
        taken = ", ".join((CONFIG_FILE, PACKAGE_FILE, *files))
        problem, expected = "is that of another file in the cluster", f"another than {taken}"
    else:
        files[name] = content
        return
    raise UsageError(
        f"The name of a file that the configuration names {problem}.",
        where=field,
        expected=expected,
        seen=path,
        fix=f"Give the file another name, and name that in {field}.",
    )


def _require_room(data: Mapping[str, str]) -> None:
    sizes = {name: len(text.encode()) for name, text in data.items()}
    if sum(sizes.values()) <= _ROOM:
        return
    raise UsageError(
        "The package and the files are too large for a ConfigMap.",
        where="--loop",
        expected=f"{_ROOM:,} bytes in all",
        seen=", ".join(f"{name}: {size:,}" for name, size in sizes.items()),
        fix=f"Make {max(sizes, key=lambda name: sizes[name])} smaller, or run the pipeline by the clock: conveyor schedule",
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "A file that the configuration names cannot be read.",
            where=path,
            seen=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="Correct the path, or the rights of the file; it has to be text.",
        ) from error


def _within(one: Any, namespace: str) -> Any:
    """A part of an object with Kubeflow's namespace replaced by that of the runs, wherever it is named."""
    if isinstance(one, dict):
        return {key: value if key == "data" else _within(value, namespace) for key, value in one.items()}
    if isinstance(one, list):
        return [_within(each, namespace) for each in one]
    return namespace if one == "kubeflow" else one
