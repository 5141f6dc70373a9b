"""`conveyor doctor`: versions, the machine, and what each capability lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.util.capabilities import Diagnosis


def doctor(as_json: Json = False) -> None:
    """Show what this machine can do, and how to provide what is missing. The exit code is 1 where pipelines cannot run.

    Example: conveyor doctor
    """
    from pipeline.config import PipelineConfig
    from pipeline.util.capabilities import diagnose

    diagnosis = diagnose(Path(PipelineConfig.model_fields["workspace"].default))
    if as_json:
        _print_json(diagnosis)
    else:
        _print_tables(diagnosis)
    raise typer.Exit(0 if diagnosis.ready else 1)


def _print_json(diagnosis: Diagnosis) -> None:
    from dataclasses import asdict

    from pipeline.cli.output import print_json

    capabilities = {
        one.name: {"ready": one.ready, "checks": [asdict(each) for each in one.prerequisites]} for one in diagnosis.capabilities
    }
    print_json(
        {
            "ready": diagnosis.ready,
            "versions": diagnosis.versions,
            "machine": diagnosis.machine,
            "capabilities": capabilities,
        }
    )


def _print_tables(diagnosis: Diagnosis) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for facts in (diagnosis.versions, diagnosis.machine):
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", min_width=26)
        for name, value in facts.items():
            table.add_row(f"  {name}", Text(value))
        console.print(table, "")
    for capability in diagnosis.capabilities:
        state = Text("ready", "green") if capability.ready else Text("not ready", "yellow")
        console.print(Text.assemble((capability.name, "bold"), f" ({capability.purpose}): ", state))
        for one in capability.prerequisites:
            mark = Text("ok     ", "green") if one.ok else Text("missing", "red")
            console.print(Text.assemble("  ", mark, f"  {one.name}: {one.seen}"))
            if one.fix:
                console.print(Text.assemble("           ", (one.fix, "bold")))
