"""docs/commands.md shows what `--help` says. `PYTHONPATH=. python tests/unit/docs/test_commands.py` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import typer

from pipeline import errors
from pipeline.cli.main import app
from pipeline.errors import ConveyorError
from pipeline.util import checkout

PAGE = checkout.ROOT / "docs" / "commands.md"
BEGINNING = "<!-- from here on written by tests/unit/docs/test_commands.py -->\n"
SHARED = {"`CONFIG`", "`-c`, `--config CONFIG`", "`--set FIELD=VALUE`", "`--json`"}


def reference() -> str:
    """The part of the page that follows from the commands: one line for each, then a section for each."""
    root = typer.main.get_command(app)
    contexts = list(_commands(root, typer.Context(root, info_name="conveyor")))
    index = [f"| [`{path}`](#{path.replace(' ', '-')}) | {_cell(_texts(context)[0])} |" for path, context in contexts]
    sections = [_section(path, context) for path, context in contexts]
    return "\n".join(["", "## All commands", "", "| command | |", "| --- | --- |", *index, "", "\n\n".join(sections), ""])


def _commands(command, context) -> Iterator[tuple[str, typer.Context]]:
    subcommands = getattr(command, "commands", {})
    if not subcommands or command.invoke_without_command:
        yield context.command_path, context
    for name, subcommand in subcommands.items():
        yield from _commands(subcommand, typer.Context(subcommand, info_name=name, parent=context))


def _section(path: str, context: typer.Context) -> str:
    *texts, example = _texts(context)
    pieces = (re.sub(r"\{(.*)\}", r"\1", piece) for piece in context.command.collect_usage_pieces(context))
    usage = " ".join([path, *pieces])
    lines = [f"## {path}", "", "\n\n".join(texts), "", f"    {usage}"]
    if example.startswith("Example: "):
        lines.append(f"    {example.removeprefix('Example: ')}    # for example")
    else:
        lines[2] += f"\n\n{example}"
    rows, shared = [], []
    for parameter in context.command.params:
        name, meaning, default = _option(parameter, context)
        if name in SHARED and (name != "`--json`" or meaning.startswith("Print JSON")):
            shared.append(name)
        else:
            rows.append(f"| {name} | {meaning} | {default} |")
    if rows:
        lines += ["", "| option | | default |", "| --- | --- | --- |", *rows]
    if shared:
        lines += ["", f"[As many commands](#options-of-many-commands): {', '.join(shared)}."]
    return "\n".join(lines)


def _texts(context: typer.Context) -> list[str]:
    return cleandoc(context.command.help).split("\n\n")


def _option(parameter, context: typer.Context) -> tuple[str, str, str]:
    """Name, meaning and default, as the cells of a row."""
    name, text = parameter.get_help_record(context)
    meaning, _, notes = text.partition("  [")
    default, further = "", []
    for note in filter(None, notes.removesuffix("]").split("; ")):
        if note.startswith("default: "):
            default = f"`{note.removeprefix('default: ')}`"
        elif note == "required":
            default = "required"
        else:
            further.append(note)
    name = re.sub(r" <(Path|str|int|float|list\[str\]|int range)>$", "", name)
    names = ", ".join(f"`{each}`" for each in name.split(", "))
    return names.replace("|", r"\|"), _cell(" ".join([meaning, *(f"({note})" for note in further)])), _cell(default)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|").replace("<", "&lt;")


def test_every_command_and_option_is_there_and_up_to_date():
    # When this fails: PYTHONPATH=. .venv/bin/python tests/unit/docs/test_commands.py
    _, beginning, rest = PAGE.read_text().partition(BEGINNING)

    assert beginning
    assert rest == reference()


def test_every_exit_code_is_there():
    written = set(map(int, re.findall(r"^\| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)))

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConveyorError)]
    assert written == {0, 130, *(kind.exit_code for kind in kinds)}


if __name__ == "__main__":
    head, beginning, _ = PAGE.read_text().partition(BEGINNING)
    PAGE.write_text(head + beginning + reference())
