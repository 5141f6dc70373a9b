"""Placeholders in a container's command and arguments: some are the driver's to fill in, the rest the launcher's.

Any other, such as {{$.pipeline_job_uuid}}, stays as it is: those hold as the whole value of an input parameter alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.walker import values

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
_EXECUTOR_INPUT = "{{$}}"


class MissingParameterError(Exception):
    """An argument names a parameter that has no value: the driver does not know the defaults of a component."""


def fill_in_parameters(arguments: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """What the driver does (resolveContainerArgs).

    Args:
      arguments: command and arguments as the package has them.
      parameters: the task's inputs, without the defaults of its component.

    Raises:
      MissingParameterError: an argument names a parameter that has no value.
    """
    filled_in: list[str] = []
    for argument in arguments:
        if "$.outputs" in argument:
            filled_in.append(argument)
        elif argument.strip().startswith('{"IfPresent":'):
            condition = json.loads(argument)["IfPresent"]
            present = parameters.get(condition["InputName"]) is not None
            chosen = condition.get("Then" if present else "Else") or []
            filled_in += [_with_parameters(each, parameters) for each in ([chosen] if isinstance(chosen, str) else chosen)]
        else:
            filled_in.append(_with_parameters(argument, parameters))
    return filled_in


def fill_in_the_rest(arguments: Sequence[str], executor_input: Mapping[str, Any]) -> list[str]:
    """What the launcher does (compileCmdAndArgs).

    Args:
      arguments: what the driver left. In the first of them, the program, only the executor input is filled in.
      executor_input: with local paths of artifacts as `customPath` where there is no other.
    """
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    replacements = {f"$.inputs.parameters['{name}']": values.text(value) for name, value in inputs["parameterValues"].items()}
    for side, artifacts in (("inputs", inputs["artifacts"]), ("outputs", outputs["artifacts"])):
        for name, entry in artifacts.items():
            artifact = entry["artifacts"][0]
            replacements[f"$.{side}.artifacts['{name}'].uri"] = artifact["uri"]
            replacements[f"$.{side}.artifacts['{name}'].path"] = artifact.get("customPath") or local_path(artifact["uri"])
    for name, parameter in outputs["parameters"].items():
        replacements[f"$.outputs.parameters['{name}'].output_file"] = parameter["outputFile"]
    described = json.dumps(_as_go_writes(executor_input), separators=(",", ":"))
    program, *rest = (argument.replace(_EXECUTOR_INPUT, described) for argument in arguments)
    for placeholder, replacement in replacements.items():
        rest = [argument.replace("{{" + placeholder + "}}", replacement) for argument in rest]
    return [program, *rest]


def local_path(uri: str) -> str:
    """Where the launcher puts an artifact of an object store in the pod: minio://bucket/key at /minio/bucket/key."""
    scheme, _, path = uri.partition("://")
    return f"/{'gcs' if scheme == 'gs' else scheme}/{path}"


def _as_go_writes(executor_input: Mapping[str, Any]) -> Any:
    """Without what is empty, as the launcher writes it: a map without entries is not there at all."""
    message = json_format.ParseDict(executor_input, pipeline_spec_pb2.ExecutorInput())
    for entry in message.outputs.artifacts.values():
        for artifact in entry.artifacts:
            if not artifact.metadata.fields:
                artifact.ClearField("metadata")
    return values.whole(json_format.MessageToDict(message))


def _with_parameters(argument: str, parameters: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise MissingParameterError(f"parameter {match[1]!r} not found in executor input")
        return values.text(parameters[match[1]])

    return _PARAMETER.sub(value, argument)
