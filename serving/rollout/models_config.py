"""models.config: the versions that a model server loads and their labels, as TensorFlow Serving reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from google.protobuf import text_format

from serving.rollout.placement import Placement


def render(model: str, base_path: str, placement: Placement) -> str:
    """The file for a model server that has to serve a whole placement.

    Args:
      model: the model's name.
      base_path: the folder of its versions, as the server sees it.
      placement: the versions to serve. Before the first rollout, the server loads the newest one, and there are no labels.
    """
    return render_versions(model, base_path, placement.serving, placement.labels)


def render_versions(model: str, base_path: str, versions: Collection[int], labels: Mapping[str, int]) -> str:
    """The file for given versions and labels.

    Args:
      model: the model's name.
      base_path: the folder of its versions, as the server sees it.
      versions: the versions to load; empty for the newest.
      labels: versions by label.
    """
    from serving.protocol import ModelServerConfig

    config = ModelServerConfig()
    entry = config.model_config_list.config.add(name=model, base_path=base_path, model_platform="tensorflow")
    if versions:
        entry.model_version_policy.specific.versions.extend(sorted(versions))
    else:
        entry.model_version_policy.latest.num_versions = 1
    for label, version in labels.items():
        entry.version_labels[label] = version
    return text_format.MessageToString(config)
