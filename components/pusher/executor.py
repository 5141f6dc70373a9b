"""Pushes the model unless a validator upstream has refused it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.components.pusher import executor as stock
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.pusher.serving_folder import add_version


class Executor(stock.Executor):
    """TFX's Pusher, but for how the model gets into the serving folder."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model as the next version if every blessing given says so.

        Args:
          input_dict: `model`, and optionally `model_blessing` and `infra_blessing`.
          output_dict: `pushed_model`: holds a copy of the model, and says whether, where and as what it was pushed in
            the custom properties `pushed`, `pushed_destination` and `pushed_version`, as TFX's own does.
          exec_properties: `push_destination`: PushDestination as JSON.

        Raises:
          StorageError: the serving folder cannot be written to.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        folder = destination.filesystem.base_directory
        model = self.GetModelPath(input_dict)
        io_utils.copy_dir(model, pushed_model.uri)
        version = str(add_version(model, Path(folder)))
        self._MarkPushed(
            pushed_model,
            pushed_destination=os.path.join(folder, version),
            pushed_version=version,
        )
        logging.info("Pushed as version %s of %s.", version, folder)
