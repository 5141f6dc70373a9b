"""`conveyor prune`: data and models of old runs are deleted."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runs.retention import Prunable


def prune(
    config: ConfigOption = None,
    overrides: Overrides = None,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="How many of the newest runs stay whole.")] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it, and do not only say what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete the data and models of old runs; without --yes, only say what would be deleted.

    Never what the newest runs have used, what a version in the serving folder was made from, or the baseline of the next run.
    Of runs of conveyor score, as many stay. Reports, logs, metrics and statistics stay. Versions themselves are deleted by
    conveyor models prune.

    Example: conveyor prune --keep 10
    """
    from pipeline.local.runner import run_lock
    from pipeline.local.scoring import runs_folder
    from pipeline.runs import database, retention
    from pipeline.runs.metadata import open_store

    settings = read_config(config, overrides)
    connection = database.connection(settings)
    if not connection.HasField("sqlite"):
        raise UsageError(
            "Old runs are deleted only where the metadata store is a file.",
            where=database.address(connection),
            expected="a workspace of this machine: on a server, others may be at work",
            fix=f"Leave {database.ENVIRONMENT_VARIABLE} out.",
        )
    of_scores = runs_folder(settings)
    with run_lock(settings.runs_path), run_lock(of_scores) if of_scores.exists() else nullcontext():
        with open_store(connection, settings.name) as store:
            doomed = retention.prunable(settings, store, keep)
        if yes and doomed:
            retention.delete(connection, doomed)
    document = _document(doomed, deleted=yes)
    if as_json:
        print_json(document)
    else:
        _print(document, keep)


def _document(doomed: Sequence[Prunable], *, deleted: bool) -> dict[str, Any]:
    return {
        "deleted": deleted,
        "bytes": sum(each.size for each in doomed),
        "artifacts": [
            {
                "run": each.run,
                "node": each.node,
                "type": each.kind,
                "id": each.artifact.id if each.artifact else None,
                "bytes": each.size,
                "uri": each.artifact.uri if each.artifact else str(each.folder),
            }
            for each in doomed
        ],
    }


def _print(document: dict[str, Any], keep: int) -> None:
    from pipeline.report import formats

    table = new_table("run", "node", "artifact", "size", "where", right=("size",))
    for each in document["artifacts"]:
        table.add_row(each["run"], each["node"], each["type"], formats.size(each["bytes"]), each["uri"])
    if not table.row_count:
        print(f"Nothing to delete: what is there belongs to the newest {keep} runs, to versions, or to the next baseline.")
        return
    print_table(table)
    count = f"{table.row_count} artifact{'' if table.row_count == 1 else 's'}, {formats.size(document['bytes'])}"
    print(f"{count} deleted." if document["deleted"] else f"{count} would be deleted. Next: conveyor prune --keep {keep} --yes")
