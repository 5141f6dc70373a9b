"""The parameters by which runs of one compiled pipeline may differ, and how they get into a compiled pipeline.

TFX's own runtime parameters replace whole execution properties only, and two of these sit inside one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import nodes
from pipeline.errors import UsageError
from pipeline.training.settings import TrainerSettings, TunerSettings
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.config import PipelineConfig

NEWEST_SPAN = -1
"""The value of `span` that stands for the newest span there is."""
WHOLE_SPLIT = 0
"""The value of `steps_per_epoch` that stands for as many steps as the training split has batches."""

Value = int | str

_SETTINGS: Mapping[str, type[TrainerSettings]] = {nodes.TRAINER.id: TrainerSettings, nodes.TUNER.id: TunerSettings}


@dataclass(frozen=True)
class Parameter:
    """A value that a run may set.

    Attributes:
      name: as it is given.
      default: what the pipeline was configured with; its type is the parameter's.
      description: for the person who sets it.
    """

    name: str
    default: Value
    description: str


def parameters_of(config: PipelineConfig) -> dict[str, Parameter]:
    """The parameters that runs of a pipeline have, by name, with the configuration's values as defaults."""
    newest, steps = config.data.newest_span, config.training.steps_per_epoch
    parameters = [
        Parameter(
            "span",
            NEWEST_SPAN if newest is None else newest,
            f"Pretend that no span after this one exists; {NEWEST_SPAN}: read the newest.",
        ),
        Parameter(
            "steps_per_epoch",
            WHOLE_SPLIT if steps is None else steps,
            f"Training steps an epoch; {WHOLE_SPLIT}: as many as the training split has batches.",
        ),
        Parameter("push_destination", str(config.serving_path), "The folder that a blessed model is pushed to."),
        Parameter("run_note", "", "What this run is for, in your own words; it is kept with the outcome."),
    ]
    has_spans = "{SPAN}" in config.data.input
    return {parameter.name: parameter for parameter in parameters if has_spans or parameter.name != "span"}


def checked(config: PipelineConfig, values: Mapping[str, Any]) -> dict[str, Value]:
    """Every parameter's value for a run.

    Args:
      config: the pipeline's configuration.
      values: those that the run sets. A whole number may come as a float, as JSON has it, or as text.

    Returns:
      The values by name, those that are not set with their defaults.

    Raises:
      UsageError: there is no such parameter, or a value is of the wrong type or out of range.
    """
    known = parameters_of(config)
    for name in values:
        if name not in known:
            raise UsageError(
                f"Runs of {config.name} have no parameter {name!r}.",
                where=config.name,
                expected=", ".join(known),
                seen=name,
                fix=did_you_mean(name, known) or "Name one of these.",
            )
    result = {name: _typed(parameter, values.get(name, parameter.default)) for name, parameter in known.items()}
    if int(result.get("span", 0)) < NEWEST_SPAN:
        raise _wrong("span", f"a span's number, or {NEWEST_SPAN} for the newest", result["span"])
    if int(result["steps_per_epoch"]) < WHOLE_SPLIT:
        raise _wrong("steps_per_epoch", f"1 or more, or {WHOLE_SPLIT} for the whole split", result["steps_per_epoch"])
    if not os.path.isabs(str(result["push_destination"])):
        raise _wrong("push_destination", "an absolute path on a mounted file system", result["push_destination"])
    return result


def apply(ir: pipeline_pb2.Pipeline, values: Mapping[str, Value]) -> None:
    """Writes a run's values into a compiled pipeline, in place, where the configuration's would stand.

    Args:
      ir: the pipeline.
      values: the value of every parameter, as `checked` returns them.
    """
    for entry in ir.nodes:
        properties = entry.pipeline_node.parameters.parameters
        node_id = entry.pipeline_node.node_info.id
        settable = nodes.NODES[node_id].parameters if node_id in nodes.NODES else ()
        if "span" in settable and values.get("span", NEWEST_SPAN) != NEWEST_SPAN:
            properties["newest_span"].field_value.int_value = int(values["span"])
        elif "span" in settable and "newest_span" in properties:
            del properties["newest_span"]
        elif "steps_per_epoch" in settable:
            custom_config = properties["custom_config"].field_value
            settings = _SETTINGS[node_id].model_validate_json(custom_config.string_value)
            changed = settings.with_steps_per_epoch(int(values["steps_per_epoch"]) or None)
            custom_config.string_value = json.dumps(changed.to_custom_config(), sort_keys=True)
        elif "push_destination" in settable:
            destination = json.loads(properties["push_destination"].field_value.string_value)
            destination["filesystem"]["base_directory"] = values["push_destination"]
            properties["push_destination"].field_value.string_value = json.dumps(destination, sort_keys=True, indent=2)


def _typed(parameter: Parameter, value: Any) -> Value:
    if isinstance(parameter.default, str):
        return str(value)
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise _wrong(parameter.name, "a whole number", value) from None
    return int(number)


def _wrong(name: str, expected: str, seen: object) -> UsageError:
    return UsageError(f"The parameter {name} cannot be {seen!r}.", where=name, expected=expected, seen=str(seen))
