"""TFX's Pusher with version folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from absl import logging
from google.protobuf import json_format
from tfx import types
from tfx.components.pusher import executor as stock
from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import BaseChannel, artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.pusher.push_record import PushRecord
from components.pusher.serving_folder import Signer, add_version
from pipeline.contracts import signature
from pipeline.errors import ConfigError

_SIGNING = "signing"


class Executor(stock.Executor):
    """TFX's Pusher, with another way into the serving folder."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model as the next version if all blessings that are given allow it.

        Args:
          input_dict: `model`, and optionally `model_blessing` and `infra_blessing`.
          output_dict: `pushed_model`: a copy of the model, with the custom properties `pushed`, `pushed_destination` and
            `pushed_version`, as TFX's own has.
          exec_properties: `push_destination`: PushDestination as JSON; `custom_config`: a dictionary as JSON, with `signing`
            where versions are signed.

        Raises:
          ConfigError: the key to sign with is not there.
          StorageError: the serving folder cannot be written to.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        folder = destination.filesystem.base_directory
        model, signer = self.GetModelPath(input_dict), _signer(exec_properties)
        io_utils.copy_dir(model, pushed_model.uri)
        version = str(add_version(model, Path(folder), self._record(pushed_model), signer))
        self._MarkPushed(
            pushed_model,
            pushed_destination=os.path.join(folder, version),
            pushed_version=version,
        )
        logging.info("Pushed as version %s of %s%s.", version, folder, ", signed" if signer else "")

    def _record(self, pushed_model: types.Artifact) -> PushRecord | None:
        """What the version is to know of this push; None outside of a pipeline."""
        context = self._context
        if context is None or context.pipeline_info is None:
            return None
        artifact = json_format.MessageToDict(pushed_model.mlmd_artifact, preserving_proto_field_name=True)
        # TFX tells an executor the id of its execution in this path alone.
        execution = int(Path(context.get_tmp_path()).name)
        return PushRecord(context.pipeline_info.id, context.pipeline_run_id or "", execution, artifact)


def _signer(exec_properties: dict[str, Any]) -> Signer | None:
    custom = json.loads(exec_properties.get(standard_component_specs.CUSTOM_CONFIG_KEY) or "null") or {}
    signing = custom.get(_SIGNING)
    return Signer(signing["name"], signature.private_key(signing["key_variable"])) if signing else None


class AtomicPusher(Pusher):
    """Pushes a blessed model into the folder that a model server watches.

    Unlike with TFX's own, a version appears by a rename when it is complete, and versions count 1, 2, 3 … instead of the
    seconds since 1970, so that two pushes in one second are two versions. Specification, output and properties are TFX's.

    Args:
      model: the candidate, a `Model`.
      destination: the serving folder, on a local or mounted file system.
      model_blessing: the Evaluator's verdict, a `ModelBlessing`; None to push without it.
      infra_blessing: the InfraValidator's verdict, an `InfraBlessing`; None to push without it.
      name: the name of the model, which is signed with it.
      signing_key_variable: the environment variable with the private key that signs each version; None not to sign.

    Raises:
      ConfigError: `destination` is a URL. Object stores have no rename, so nothing appears there at once.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        destination: str,
        model_blessing: BaseChannel | None = None,
        infra_blessing: BaseChannel | None = None,
        name: str = "",
        signing_key_variable: str | None = None,
    ) -> None:
        if "://" in destination:
            raise ConfigError(
                "Models cannot be pushed to a URL.",
                where="push.destination",
                expected="a folder on a local or mounted file system, where a version can appear at once",
                seen=destination,
                fix="Mount the storage, and name the folder it is mounted on.",
            )
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=destination)
            ),
            custom_config={_SIGNING: {"name": name, "key_variable": signing_key_variable}} if signing_key_variable else None,
        )
