"""What the launcher does in a task's pod: fills in placeholders, runs the command, collects what it wrote."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.walker import placeholders, values
from tests.walker.driver import EXECUTOR_LOGS, Order
from tests.walker.package import MAX_ARGUMENT
from tests.walker.results import Artifact


class LauncherError(Exception):
    """The task fails although its command may have ended well, or before it could start."""


class Launcher:
    """One attempt at a task.

    Attributes:
      executor_input: what the task is told of its inputs and outputs, with paths as the pod sees them.
      command: with every placeholder filled in.
    """

    def __init__(
        self,
        order: Order,
        component: pipeline_spec_pb2.ComponentSpec,
        *,
        attempt: int,
        folder: Path,
        root: str,
        uploaded: Mapping[str, Path],
    ) -> None:
        """Prepares the pod's files.

        Args:
          order: from the driver.
          component: of the task.
          attempt: how many came before.
          folder: the pod's own files.
          root: where the pod sees them; empty when they are at /.
          uploaded: files and folders in the object store, by URI.

        Raises:
          LauncherError: an argument is too long for Linux, or an input was never uploaded.
        """
        self._component, self._folder, self._root = component, folder, root
        self.executor_input = copy.deepcopy({"inputs": order.inputs, "outputs": order.outputs})
        outputs = self.executor_input["outputs"]
        outputs["artifacts"][EXECUTOR_LOGS]["artifacts"][0]["uri"] += f"-{attempt}"
        for artifact in self._artifacts("outputs") + self._artifacts("inputs"):
            # A process does not see the pod's files where a container would: KFP's own field says where they are then.
            if root:
                artifact["customPath"] = root + placeholders.local_path(artifact["uri"])
        for parameter in outputs["parameters"].values():
            parameter["outputFile"] = root + parameter["outputFile"]
        outputs["outputFile"] = root + outputs["outputFile"]
        self._download(uploaded)
        self._make_parents()
        self.command = placeholders.fill_in_the_rest(order.arguments, self._with_defaults())
        for argument in self.command:
            if len(argument.encode()) >= MAX_ARGUMENT:
                raise LauncherError(f"argument list too long: {argument[:40]}… has {len(argument.encode())} bytes")

    def collect(self, log: str, *, succeeded: bool) -> tuple[dict[str, Any], dict[str, Artifact]]:
        """What the pod leaves behind: parameters and artifacts, or the log alone when its command failed.

        Raises:
          LauncherError: what it wrote about its outputs is not what KFP understands, or an output parameter is missing.
        """
        log_path = self._local(self.executor_input["outputs"]["artifacts"][EXECUTOR_LOGS]["artifacts"][0])
        log_path.write_text(log)
        if not succeeded:
            return {}, {EXECUTOR_LOGS: self._upload(EXECUTOR_LOGS, {})}
        written = self._executor_output()
        parameters = {
            name: self._parameter(name, entry, written.get("parameterValues", {}))
            for name, entry in self.executor_input["outputs"]["parameters"].items()
        }
        artifacts = {
            name: self._upload(name, next(iter(written.get("artifacts", {}).get(name, {}).get("artifacts", [])), {}))
            for name in self.executor_input["outputs"]["artifacts"]
        }
        return parameters, artifacts

    def _artifacts(self, side: str) -> list[dict[str, Any]]:
        return [artifact for entry in self.executor_input[side]["artifacts"].values() for artifact in entry["artifacts"]]

    def _on_disk(self, path: str) -> Path:
        """A path that the pod sees, on this machine."""
        return Path(path) if self._root else self._folder / path.lstrip("/")

    def _local(self, artifact: Mapping[str, Any]) -> Path:
        return self._on_disk(artifact.get("customPath") or placeholders.local_path(artifact["uri"]))

    def _download(self, uploaded: Mapping[str, Path]) -> None:
        for artifact in self._artifacts("inputs"):
            source, target = uploaded.get(artifact["uri"]), self._local(artifact)
            if source is None:
                raise LauncherError(f"failed to download input artifact {artifact['name']!r} from {artifact['uri']}")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)

    def _make_parents(self) -> None:
        """The folders of outputs, not the outputs themselves: the launcher makes no others."""
        for artifact in self._artifacts("outputs"):
            self._local(artifact).parent.mkdir(parents=True, exist_ok=True)
        for parameter in self.executor_input["outputs"]["parameters"].values():
            self._on_disk(parameter["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)

    def _with_defaults(self) -> dict[str, Any]:
        definitions = self._component.input_definitions.parameters
        defaults = {
            name: values.from_proto(each.default_value) for name, each in definitions.items() if each.HasField("default_value")
        }
        inputs = self.executor_input["inputs"]
        return {**self.executor_input, "inputs": {**inputs, "parameterValues": {**defaults, **inputs["parameterValues"]}}}

    def _executor_output(self) -> dict[str, Any]:
        path = self._on_disk(self.executor_input["outputs"]["outputFile"])
        if not path.exists():
            return {}
        try:
            content = values.strict_json(path.read_text())
            json_format.ParseDict(content, pipeline_spec_pb2.ExecutorOutput())
        except (ValueError, json_format.ParseError) as error:
            raise LauncherError(f"failed to unmarshall ExecutorOutput: {error}") from None
        return dict(content)

    def _parameter(self, name: str, entry: Mapping[str, str], written: Mapping[str, Any]) -> Any:
        if name in written:
            return values.whole(written[name])
        kind = self._component.output_definitions.parameters[name].parameter_type
        try:
            return values.parse(self._on_disk(entry["outputFile"]).read_text(), kind)
        except (OSError, ValueError) as error:
            raise LauncherError(f"failed to read output parameter {name!r}: {error}") from None

    def _upload(self, name: str, written: Mapping[str, Any]) -> Artifact:
        """An output as it is kept, with what the task wrote about it."""
        artifact = self.executor_input["outputs"]["artifacts"][name]["artifacts"][0]
        if name != EXECUTOR_LOGS:
            changes = {key: written[key] for key in ("uri", "customPath") if written.get(key)}
            artifact = {**artifact, **changes, "metadata": {**artifact["metadata"], **written.get("metadata", {})}}
        for key, value in artifact["metadata"].items():
            if value is None:
                raise LauncherError(f"unable to produce MLMD artifact for output {name!r}: {key} is null")
        file = self._local(artifact)
        kept = file.is_file() or any(path.is_file() for path in file.rglob("*"))
        return Artifact(artifact["type"].get("schemaTitle", ""), artifact["uri"], artifact["metadata"], file if kept else None)
