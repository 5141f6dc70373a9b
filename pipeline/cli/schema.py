"""`conveyor schema`: the schema in words, what the data would break, and accepting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, Json, Overrides, find_config, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import DataError

if TYPE_CHECKING:
    from pipeline.curation import CurrentSchema

app = typer.Typer(help="Show the schema, compare the data with it, and accept what the data changes.", no_args_is_help=True)


@app.command()
def show(config: ConfigOption = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show the curated schema, or the one that the last run inferred, as a table.

    Example: conveyor schema show
    """
    from pipeline.contracts.schema import Schema
    from pipeline.curation import current_schema, uses
    from pipeline.report.read.schema import schema_table

    settings = read_config(config, overrides)
    current = current_schema(settings)
    schema = Schema.of(current.proto)
    used = uses(settings, schema)
    rows = schema_table(schema).features
    if as_json:
        features = [
            {"name": row.name, "type": row.type, "presence": row.presence, "domain": row.domain, "use": used[row.name]}
            for row in rows
        ]
        print_json({"path": str(current.path), "inferred_by": current.run_id or None, "features": features})
        return
    print(_title(current))
    table = new_table("column", "type", "present in", "domain", "values", "used as")
    for row in rows:
        more = f" and {row.values_left_out} more" if row.values_left_out else ""
        table.add_row(row.name, row.type, row.presence, row.domain, ", ".join(row.values) + more, used[row.name])
    print_table(table)


@app.command()
def diff(config: ConfigOption = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Compare the data of the last run with the schema: what would break it, and how the schema would have to change.

    Example: conveyor schema diff
    """
    from pipeline.curation import compare

    found = compare(read_config(config, overrides))
    if as_json:
        print_json(
            {
                "path": str(found.schema.path),
                "inferred_by": found.schema.run_id or None,
                "run": found.run_id,
                "anomalies": found.anomalies,
                "changes": found.changes,
            }
        )
        return
    print(_title(found.schema))
    if not found.anomalies:
        print(f"The data of run {found.run_id} keeps it.")
        return
    _print_list(f"The data of run {found.run_id} breaks it:", found.anomalies)
    if found.changes:
        _print_list("`conveyor schema accept` would change it:", found.changes)


@app.command()
def accept(
    columns: Annotated[
        list[str] | None, typer.Argument(metavar="[COLUMN]...", help="The columns to accept; all of them when none is named.")
    ] = None,
    config: ConfigOption = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Change the curated schema so that it accepts the data of the last run. Comments in it stay.

    Where the schema has been inferred so far, it is written beside the configuration, which then names it.

    Example: conveyor schema accept carrier
    """
    from pipeline.curation import accept, name_schema

    path = find_config(config)
    settings = read_config(path, overrides)
    done = accept(settings, columns or (), folder=path.absolute().parent)
    named = done.is_new and name_schema(path, done.path)
    if as_json:
        print_json({"path": str(done.path), "changes": done.changes, "remaining": done.remaining})
    else:
        written = "has been made" if done.is_new else "accepts" if done.changes else "accepts the data already"
        _print_list(f"{done.path} {written}{':' if done.changes else '.'}", done.changes)
        if named:
            print(f"{path} names it now: schema: {{path: {done.path.name}}}")
        elif done.is_new:
            print(f"Add to {path}: schema: {{path: {done.path.name}}}")
    if done.remaining:
        raise DataError(
            f"The data still breaks the schema: {len(done.remaining)} anomalies are not accepted.",
            where=str(done.path),
            seen="\n".join(done.remaining),
            fix="`conveyor schema accept` without columns accepts what can be; correct the data for the rest.",
        )


def _title(current: CurrentSchema) -> str:
    return f"Curated schema {current.path}" if current.is_curated else f"Schema inferred by run {current.run_id}"


def _print_list(title: str, lines: tuple[str, ...]) -> None:
    print("\n  ".join([title, *lines]))
