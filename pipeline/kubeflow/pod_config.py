"""The configuration as pods need it: with the paths of the cluster, and without those of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.util.paths import is_object

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.config.section import Section


def in_cluster(config: PipelineConfig) -> PipelineConfig:
    """The configuration as pods need it: the workspace is the volume.

    Raises:
      ConfigError: data are read from, or models pushed to, a place outside the volume.
    """
    mount_path = config.kubeflow.mount_path
    settings = config.model_copy(
        update={
            "workspace": mount_path,
            # Pods have no Docker engine.
            "infra_validator": config.infra_validator.model_copy(update={"runner": "process"}),
        }
    )
    for field, path in (("data.input", settings.data.input), ("push.destination", settings.push.destination)):
        resolved = settings.resolve(path)
        if not is_object(resolved) and not Path(resolved).is_relative_to(mount_path):
            raise ConfigError(
                "Pods can read and write nothing but the volume, and read objects.",
                where=field,
                expected=f"a path that begins with {{workspace}}, which stands for {mount_path} in the cluster",
                seen=resolved,
                fix=f"For example: {field}: '{{workspace}}/{Path(path).name}'",
            )
    return settings


def without_folders(config: PipelineConfig) -> PipelineConfig:
    """The configuration without folders of this machine: the package holds what was read from these files."""

    def by_name(section: Section, field: str) -> Section:
        path = getattr(section, field)
        return section if path is None else section.model_copy(update={field: Path(path).name})

    return config.model_copy(
        update={
            "schema_source": by_name(config.schema_source, "path"),
            "preprocessing": by_name(config.preprocessing, "preprocessing_fn"),
            "model": by_name(config.model, "build_model"),
            "gateway": by_name(config.gateway, "feature_schema"),
            # Pods do not ask the API.
            "kubeflow": config.kubeflow.model_copy(update={"auth": None, "ca_file": None}),
        }
    )
