"""`conveyor init`: from a table to the configuration of a pipeline."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pipeline.cli.options import DEFAULT_CONFIGS, Overrides, as_path
from pipeline.cli.output import new_table, print_table
from pipeline.errors import ConveyorError, DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Data
    from pipeline.profile import Draft, Source, TableProfile

_SHOWN_COLUMNS = 60
_MOST_CANDIDATES = 10
_EXPLANATION = "`conveyor config show --comments` explains every field."
# A field that an error about the data asks for, such as "data.dates: day_first".
_FIELD = re.compile(r"(?P<name>\bdata(\.\w+)+)(: (?P<value>\w+))?")


class _Found(NamedTuple):
    """A table that has been read.

    Attributes:
      profile: what it holds.
      choices: what is worth telling about how its columns are read.
      dates: the order of day and month that its values tell, as `data.dates` has it; empty where none does.
      amounts: an amount of each column of text whose values are all numbers or amounts, by name.
      is_delimited: whether its files are delimited text.
    """

    profile: TableProfile
    choices: dict[str, str]
    dates: str
    amounts: dict[str, str]
    is_delimited: bool


class Task(str, Enum):
    """The kinds of prediction."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"


def init(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A file, a folder, or a pattern.", show_default=False)],
    label: Annotated[str | None, typer.Option("--label", "-l", metavar="COLUMN", help="The column to predict.")] = None,
    task: Annotated[Task | None, typer.Option(help="The kind of prediction, where the label's values do not show it.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", parser=as_path)
    ] = DEFAULT_CONFIGS[0],
    print_only: Annotated[bool, typer.Option("--print", help="Print the configuration instead of writing it.")] = False,
    overrides: Overrides = None,
) -> None:
    """Read a table and write the configuration of its pipeline, with the reason for each choice.

    Example: conveyor init houses.csv --label price
    """
    from rich.console import Console

    from pipeline.config import training
    from pipeline.profile import draft, find, require_label, words_for_truths

    if not print_only and output.exists():
        raise _exists(output)
    console = Console(stderr=True, highlight=False)
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not print_only
    source = find(str(as_path(table)))
    given = list(overrides or ())
    read = _read_with(source, given, console, asks=asks)
    read, nulls = _without_placeholders(read, source, given, label, console)
    read, amounts = _with_numbers(read, source, given, console, nulls)
    found = read.profile
    if label is None and asks:
        label = _ask_for_label(found, console)
    chosen = None if task is None else training.Task(task.value)
    label = require_label(found, label, chosen)
    rows, truths = found.rows, words_for_truths(found.columns[label]) if _may_be_set(label, given) else ()
    if truths or found.columns[label].has_gaps:
        # What is decided is about the rows that a model can learn from, and about the label as it will be read.
        types = {**dict.fromkeys(amounts, "float"), **({label: "boolean"} if truths else {})}
        read = _read(source, given, console, label=label, types=types, nulls=nulls)
        found, label = read.profile, require_label(read.profile, label, chosen)
    data = {"input": _relative(source.pattern, output)}
    unlabelled = rows - found.rows
    made = draft(
        found,
        source,
        data,
        label,
        chosen,
        unlabelled=unlabelled,
        truths=truths,
        amounts=amounts,
        nulls=nulls,
        dates=read.dates,
    )
    made.comments[()] = [f"Written by `{_command(table, label, task, given)}`.", _EXPLANATION]
    text = _written(made, output, given, write=not print_only)
    if print_only:
        print(text, end="")
        return
    _tell(made, found, read.choices, output)


def _exists(output: Path) -> UsageError:
    other = next(path for n in range(2, 1000) if not (path := output.with_name(f"{output.stem}-{n}{output.suffix}")).exists())
    return UsageError(
        "There is a configuration already, and it is not overwritten.",
        where=str(output),
        expected="a file that does not exist yet",
        seen="a file that exists",
        fix=f"Write to another file: --output {shlex.quote(str(other))}",
    )


def _read_with(source: Source, overrides: list[str], console: Console, *, asks: bool) -> _Found:
    """The table as the overrides and, where it can be asked, the person say that it is read; answers join the overrides."""
    while True:
        try:
            return _read(source, overrides, console)
        except ConveyorError as error:
            field = _FIELD.search(error.fix)
            if field is None or any(override.startswith(f"{field['name']}=") for override in overrides):
                raise
            if not asks:
                error.fix += f" `conveyor init` takes it as --set {field['name']}={field['value'] or 'VALUE'}"
                raise
            console.print(str(error), markup=False)
            answer: str = typer.prompt(field["name"], default=field["value"], err=True)
            overrides.append(f"{field['name']}={answer}")


def _without_placeholders(
    read: _Found, source: Source, overrides: Sequence[str], label: str | None, console: Console
) -> tuple[_Found, dict[str, list[str]]]:
    """The table with numbers in columns of text where a few words stood for no value; and these words by column."""
    from pipeline.profile import placeholders

    if not read.is_delimited or any(override.startswith(("data.csv=", "data.csv.nulls=")) for override in overrides):
        return read, {}
    words = {name: found for name, found in placeholders(read.profile, label).items() if _may_be_set(name, overrides)}
    if not words:
        return read, {}
    again = _read(source, overrides, console, nulls=words)
    became = {name: found for name, found in words.items() if again.profile.columns[name].is_number or name in again.amounts}
    if not became:
        return read, {}
    return (again if became == words else _read(source, overrides, console, nulls=became)), became


def _with_numbers(
    read: _Found, source: Source, overrides: Sequence[str], console: Console, nulls: Mapping[str, Sequence[str]]
) -> tuple[_Found, dict[str, str]]:
    """The table with numbers for the amounts of columns that nobody has set a type for; and an amount of each of these."""
    from pipeline.profile import readable_as_numbers

    found = readable_as_numbers(read.profile, read.amounts)
    amounts = {name: amount for name, amount in found.items() if _may_be_set(name, overrides)}
    if not amounts:
        return read, {}
    try:
        return _read(source, overrides, console, types=dict.fromkeys(amounts, "float"), nulls=nulls), amounts
    except DataError:  # some of them cannot be read as numbers
        return read, {}


def _read(
    source: Source,
    overrides: Sequence[str],
    console: Console,
    *,
    label: str | None = None,
    types: Mapping[str, str] | None = None,
    nulls: Mapping[str, Sequence[str]] | None = None,
) -> _Found:
    """The table and what is worth telling about how its columns are read.

    Args:
      source: where its files are.
      overrides: how they are to be read.
      console: shows the progress.
      label: leaves out the rows without a value of this column.
      types: what further columns are read as, by name, as `data.columns` has it.
      nulls: words for null, by the name of a column that has them.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from components.example_gen.table import open_table
    from pipeline.profile import TableProfile

    data, ignored = _data(source, overrides)
    data = data.model_copy(update={"columns": {**data.columns, **(types or {})}})
    if nulls:
        words = sorted({word for of_column in nulls.values() for word in of_column})
        data = data.model_copy(update={"csv": data.csv.model_copy(update={"nulls": words})})
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Finding the types of the columns", total=None)
        opened = open_table(data, ignored=ignored, required=label, skip_unreadable=True)
        progress.update(bar, description=f"Reading {opened.rows:,} rows", total=opened.rows)
        found = TableProfile.read(
            opened.kinds, opened.batches(), opened.unreadable, lambda rows: progress.update(bar, completed=rows)
        )
    orders = {decision.day_first for decision in opened.decisions.values()} - {None}
    dates = "" if data.dates or len(orders) != 1 else "day_first" if True in orders else "month_first"
    amounts = {name: decision.amount for name, decision in opened.decisions.items() if decision.amount}
    return _Found(found, opened.choices, dates, amounts, opened.is_delimited)


def _data(source: Source, overrides: Sequence[str]) -> tuple[Data, list[str]]:
    """How the table is to be read, and the columns that are not: by the overrides, which are checked here."""
    import yaml

    from pipeline.config.loading import load_config

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, DEFAULT_CONFIGS[0])
        path.write_text(
            yaml.safe_dump({"name": "table", "label": "label", "data": {"input": source.pattern}}), encoding="utf-8"
        )
        config = load_config(path, overrides)
    return config.data, [name for name, feature in config.features.items() if feature.kind == "ignore"]


def _may_be_set(column: str, overrides: Sequence[str]) -> bool:
    """Whether nobody has said as what a column is to be read."""
    return not any(override.startswith(("data.columns=", f"data.columns.{column}=")) for override in overrides)


def _ask_for_label(table: TableProfile, console: Console) -> str | None:
    """The column to predict, as the person at the terminal says; None where none can be."""
    from pipeline.profile import described, likely_labels

    possible = likely_labels(table)
    if not possible:
        return None
    console.print("Which column is to be predicted?", style="bold")
    for column in possible[:_MOST_CANDIDATES]:
        console.print(f"  {described(column)}", markup=False)
    answer: str = typer.prompt("Label", default=possible[0].name, err=True)
    return answer


def _relative(pattern: str, output: Path) -> str:
    """The pattern as the configuration has it: relative to its folder where the table is in it."""
    folder = str(output.absolute().parent)
    return os.path.relpath(pattern, folder) if pattern.startswith(folder.rstrip(os.sep) + os.sep) else pattern


def _command(table: str, label: str, task: Task | None, overrides: Sequence[str]) -> str:
    """The command that writes the same configuration again."""
    options = ["--label", label, *([] if task is None else ["--task", task.value])]
    return shlex.join(["conveyor", "init", table, *options, *(part for one in overrides for part in ("--set", one))])


def _written(made: Draft, output: Path, overrides: Sequence[str], *, write: bool) -> str:
    """The configuration as text, checked and, if so wanted, in its file."""
    from pipeline.config.loading import load_config
    from pipeline.profile import to_yaml
    from pipeline.util import files

    _override(made.fields, overrides)
    text = to_yaml(made.fields, made.comments)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, output.name)
        draft.write_text(text, encoding="utf-8")
        load_config(draft)
    if write:
        files.write(output, text)
    return text


def _override(fields: dict[str, Any], overrides: Sequence[str]) -> None:
    """Puts overrides, which have been checked, among the fields."""
    import yaml

    for override in overrides:
        place, _, value = override.partition("=")
        *sections, name = place.strip().split(".")
        inner = fields
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = yaml.safe_load(value)


def _tell(made: Draft, table: TableProfile, choices: dict[str, str], output: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    shown = new_table("column", "used as", "why")
    shown.add_row(Text(made.fields["label"], style="bold"), "label", made.decision.reason)
    for name, usage in list(made.usages.items())[:_SHOWN_COLUMNS]:
        style = "dim" if usage.is_ignored else ""
        role = f"{usage.role.value}, ignored" if usage.is_ignored else usage.role.value
        shown.add_row(Text(name, style=style), role, Text(usage.reason))
    print_table(shown)
    if len(made.usages) > _SHOWN_COLUMNS:
        print(f"… and {len(made.usages) - _SHOWN_COLUMNS:,} more columns, which the file names")
    for sentence in choices.values():
        console.print(sentence, markup=False)
    for warning in made.warnings:
        console.print(Text.assemble(("Warning: ", "yellow"), warning))
    console.print(f"{output}: {table.rows:,} rows, {len(table.columns):,} columns, {made.decision.task.value} of", end=" ")
    console.print(made.fields["label"], markup=False)
    command = "conveyor run" if output == DEFAULT_CONFIGS[0] else shlex.join(["conveyor", "run", str(output)])
    console.print(f"Next: {command}", markup=False)
