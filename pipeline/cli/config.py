"""`conveyor config`: the configuration of a pipeline, shown, described and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigArgument, Overrides, find_config, read_config

if TYPE_CHECKING:
    from pydantic import BaseModel

app = typer.Typer(help="Show, describe and check a configuration.", no_args_is_help=True)


@app.command()
def show(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    comments: Annotated[bool, typer.Option("--comments", help="Say above each field what it means.")] = False,
) -> None:
    """Print the effective configuration, defaults and all, as YAML.

    Example: conveyor config show --comments
    """
    import yaml

    effective = read_config(config, overrides, as_written=True)
    if comments:
        print("\n".join(_commented(effective, effective.effective())))
    else:
        print(yaml.safe_dump(effective.effective(), sort_keys=False, allow_unicode=True), end="")


@app.command()
def schema() -> None:
    """Print the JSON schema of a configuration, for editors and other programs.

    Example: conveyor config schema > pipeline.schema.json
    """
    import json

    from pipeline.config import PipelineConfig

    print(json.dumps(PipelineConfig.model_json_schema(), indent=2))


@app.command()
def validate(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    no_data: Annotated[
        bool,
        typer.Option("--no-data", help="Leave out the data and other files that the configuration names: they are elsewhere."),
    ] = False,
) -> None:
    """Check a configuration, a sample of its data and the files that it names, and say in one line what it describes.

    Example: conveyor config validate pipeline.yaml
    """
    from pipeline.checks import Findings, examine
    from pipeline.config.loading import flawed
    from pipeline.kubeflow.flaws import find_flaws as kubeflow_flaws

    path = find_config(config)
    valid = read_config(path, overrides, as_written=True)
    settings = read_config(path, overrides)
    found = Findings([]) if no_data else examine(settings)
    if flaws := [*kubeflow_flaws(settings), *found.flaws]:
        raise flawed(flaws, path, overrides or ())
    for remark in found.remarks:
        print(f"Note: {remark}")
    print(f"{path} is valid: pipeline {valid.name}, {valid.task.value} of {valid.label} from {valid.data.input}")


def _commented(section: BaseModel, written: Mapping[str, Any], indent: str = "") -> list[str]:
    """A section as lines of YAML, each field below its description.

    Args:
      section: the section.
      written: its fields as they are written, without those that stay away.
      indent: spaces before each line.
    """
    import sys
    from textwrap import indent as indented

    import yaml
    from pydantic import BaseModel

    lines: list[str] = []
    for name, field in type(section).model_fields.items():
        key, value = field.alias or name, getattr(section, name)
        if key not in written:
            continue
        lines.append(indented(field.description or "", f"{indent}# "))
        if isinstance(value, BaseModel):
            lines += [f"{indent}{key}:", *_commented(value, written[key], indent + "  ")]
        elif isinstance(value, dict) and any(isinstance(inner, BaseModel) for inner in value.values()):
            lines.append(f"{indent}{key}:")
            for entry, inner in value.items():
                quoted = yaml.safe_dump(entry, allow_unicode=True, width=sys.maxsize).splitlines()[0]
                lines += [f"{indent}  {quoted}:", *_commented(inner, written[key][entry], indent + "    ")]
        else:
            lines.append(indented(yaml.safe_dump({key: written[key]}, allow_unicode=True).rstrip(), indent))
    return lines
