"""`conveyor verify`: whether what is stored is what was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.completion import complete_run, complete_version
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.config import PipelineConfig
    from pipeline.runs.metadata import Execution
    from pipeline.runs.verification import Verified


def _complete(incomplete: str) -> list[str]:
    return [*complete_version(incomplete), *complete_run(incomplete)]


def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[RUN|VERSION]",
            help="A run (its id, the beginning of one, or `latest`) or a pushed version; all runs when not given.",
            autocompletion=_complete,
            show_default=False,
        ),
    ] = "",
    config: ConfigOption = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare stored artifacts and pushed versions, byte by byte, with what was made. Exit code 1 if a file differs.

    Example: conveyor verify latest
    """
    from pipeline.errors import StorageError
    from pipeline.runs import verification

    settings = read_config(config, overrides)
    found = list(verification.verify(_artifacts(settings, what)))
    makers = _makers(settings, [each for each in found if each.flaws])
    flawed = [(makers[each.artifact.id], each, flaw) for each in found for flaw in each.flaws]
    if as_json:
        print_json(
            {
                **_counts(found),
                "flaws": [
                    {
                        "node": node,
                        "artifact": each.artifact.id,
                        "path": str(flaw.path),
                        "expected": flaw.expected,
                        "seen": flaw.seen,
                    }
                    for node, each, flaw in flawed
                ],
            }
        )
    else:
        _show(_counts(found))
        table = new_table("node", "artifact", "file", "expected", "seen", right=("artifact",))
        for node, each, flaw in flawed:
            table.add_row(node, str(each.artifact.id), str(flaw.path), flaw.expected, flaw.seen)
        if flawed:
            print_table(table)
    if flawed:
        raise StorageError(
            "One file is not what was made." if len(flawed) == 1 else f"{len(flawed)} files are not what was made.",
            where=str(flawed[0][2].path),
            expected=flawed[0][2].expected,
            seen=flawed[0][2].seen,
            fix="`conveyor run` makes them again where it needs them; restore others from a copy.",
        )


def _artifacts(settings: PipelineConfig, what: str) -> list[metadata_store_pb2.Artifact]:
    """The artifacts that are meant."""
    from pipeline.runs import database
    from pipeline.runs.find import find_run
    from pipeline.runs.metadata import open_store

    connection = database.connection(settings)
    with open_store(connection, settings.name) as store:
        if not what:
            return store.live_artifacts()
        versions = store.pushed_versions()
        if what in versions:
            return store.live_artifacts(_outputs(store.lineage(versions[what]).executions))
    run_id = find_run(settings, what)
    with open_store(connection, settings.name) as store:
        return store.live_artifacts(_outputs(store.run(run_id).executions.values()))


def _outputs(executions: Iterable[Execution]) -> set[int]:
    return {artifact.id for each in executions for artifacts in each.outputs.values() for artifact in artifacts}


def _makers(settings: PipelineConfig, found: Sequence[Verified]) -> dict[int, str]:
    """The nodes that made artifacts, by the artifacts' ids."""
    from pipeline.runs import database
    from pipeline.runs.metadata import open_store

    with open_store(database.connection(settings), settings.name) as store:
        makers = {each.artifact.id: store.producer(each.artifact.id) for each in found}
    return {artifact: execution.node if execution else "" for artifact, execution in makers.items()}


def _counts(found: Sequence[Verified]) -> dict[str, Any]:
    return {
        "artifacts": len(found),
        "files": sum(each.files or 0 for each in found),
        "bytes": sum(each.size for each in found),
        "without_manifest": sum(each.files is None and not each.flaws for each in found),
    }


def _show(counts: dict[str, Any]) -> None:
    from pipeline.report import formats

    flawless = f"{counts['artifacts']:,} artifacts, {counts['files']:,} files, {formats.size(counts['bytes'])} compared."
    earlier = f" {counts['without_manifest']:,} of them are of an earlier release, which kept no manifests."
    print(flawless + (earlier if counts["without_manifest"] else ""))
