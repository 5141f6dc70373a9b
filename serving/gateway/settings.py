"""The settings of a gateway: the section `gateway` of a configuration, without placeholders in addresses and paths."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from pipeline.config import Gateway, PipelineConfig
from pipeline.errors import ConfigError
from pipeline.util.paths import expand_home
from serving.client import Address

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def from_config(config: PipelineConfig) -> Gateway:
    """The settings of a pipeline's gateway on this machine.

    Args:
      config: the pipeline's configuration.

    Raises:
      UsageError: the address of a model server is wrong.
      ConfigError: other machines could call without a key.
    """
    section = config.gateway
    feature_schema = section.feature_schema or config.schema_source.path
    return _checked(
        section.model_copy(
            update={
                "upstream": section.upstream.model_copy(
                    update={
                        role: address.replace("{name}", config.name)
                        for role, address in section.upstream.model_dump(exclude_none=True).items()
                    }
                ),
                "rollout": section.rollout and config.resolve(section.rollout),
                "feature_schema": feature_schema and config.resolve(feature_schema),
                "log": section.log.model_copy(update={"folder": section.log.folder and config.resolve(section.log.folder)}),
            }
        )
    )


def read_settings(path: Path) -> Gateway:
    """The settings of a gateway in a pod.

    Args:
      path: a YAML file with the fields of the section `gateway`. Paths are relative to its folder. A pod has no workspace: the
        rollout's state and the log's folder have no default here.

    Raises:
      ConfigError: the file cannot be read, or is wrong, or other machines could call without a key.
      UsageError: the address of a model server is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text()) or {}
        section = Gateway.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError("The gateway's settings cannot be read.", where=str(path), seen=str(error)) from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise ConfigError(
            "The gateway's settings are wrong.",
            where=str(path),
            expected="the fields of the section gateway, as docs/configuration.md lists them",
            seen="\n".join(problems),
        ) from error
    rollout = section.rollout if "rollout" in section.model_fields_set else None
    folder = section.log.folder if "folder" in section.log.model_fields_set else None
    placeholders = [text for text in (*section.upstream.model_dump().values(), rollout, folder) if text and "{" in text]
    if placeholders:
        raise ConfigError(
            "The gateway's settings have a placeholder.",
            where=str(path),
            expected="whole addresses and paths: {name} and {workspace} are known only in a pipeline's configuration",
            seen=", ".join(placeholders),
            fix="Give upstream.stable and whole paths.",
        )

    def resolved(name: str | None) -> str | None:
        return name and str(path.parent.absolute() / expand_home(name))

    return _checked(
        section.model_copy(
            update={
                "rollout": resolved(rollout),
                "feature_schema": resolved(section.feature_schema),
                "log": section.log.model_copy(update={"folder": resolved(folder)}),
            }
        )
    )


def _checked(section: Gateway) -> Gateway:
    access = section.access
    if not (access.api_keys or access.oidc or access.open or section.host in _THIS_MACHINE):
        raise ConfigError(
            "Anybody could call the gateway from other machines.",
            where=f"gateway.host: {section.host}",
            expected="keys in access.api_keys or a provider in access.oidc; without them, an address of this machine",
            fix="Make a key with `conveyor gateway key`. To let everybody call, set access.open to true in the settings.",
        )
    for address in section.upstream.model_dump(exclude_none=True).values():
        Address.parse(address)
    return section
