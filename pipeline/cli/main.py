"""The `conveyor` command: its subcommands, and how an error ends it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline.cli import (
    backtest,
    cluster,
    compare,
    compile,
    config,
    data,
    doctor,
    gateway,
    image,
    init,
    inspect,
    kubeflow,
    labels,
    loop,
    models,
    monitor,
    predict,
    prune,
    replay,
    rollout,
    run,
    schedule,
    schema,
    score,
    score_card,
    serve,
    track,
    verify,
)
from pipeline.errors import ConveyorError, StorageError
from pipeline.util import disk

app = typer.Typer(
    name="conveyor",
    help="From a table of data to a served model with TFX.",
    no_args_is_help=True,
    # Panels would double the time that help takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(init.init)
app.command()(run.run)
app.command("compile")(compile.compile_)
app.command()(kubeflow.submit)
app.command()(schedule.schedule)
app.command()(kubeflow.status)
app.command()(kubeflow.logs)
app.command()(kubeflow.cancel)
app.command()(score.score)
app.command()(serve.serve)
app.command()(predict.predict)
app.command()(monitor.monitor)
app.command()(backtest.backtest)
app.command()(loop.loop)
app.command()(loop.approve)
app.command()(inspect.runs)
app.command()(inspect.show)
app.command()(inspect.report)
app.command()(compare.compare)
app.command()(inspect.lineage)
app.command()(verify.verify)
app.command()(track.track)
app.command()(prune.prune)
app.command("score-card")(score_card.score_card)
app.command()(doctor.doctor)
app.add_typer(gateway.app, name="gateway")
app.add_typer(models.app, name="models")
app.add_typer(rollout.app, name="rollout")
app.command()(rollout.rollback)
app.command()(replay.replay)
app.add_typer(labels.app, name="labels")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.add_typer(schema.app, name="schema")
app.add_typer(cluster.app, name="cluster")
app.add_typer(image.app, name="image")


_OF_PATHS = (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""What the system says of paths that a person has named."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"conveyor {version('tfx-conveyor')}")
        raise typer.Exit


@app.callback()
def _global_options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error. Accepted anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a table of data to a served model with TFX."""


def print_error(error: ConveyorError, *, verbose: bool = False) -> None:
    """Prints one screen on stderr: what happened, where, what was expected and seen, and how to fix it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if verbose:
        traceback.print_exception(error)
    hint = "" if verbose else "  Run again with --verbose for the traceback."
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        # A log is searched and copied from: no folding, no padding.
        print(f"{error.headline}: {error}\n{hint}".rstrip(), file=sys.stderr)
        return
    details = Table.grid(padding=(0, 2))
    details.add_column(style="bold")
    details.add_column(overflow="fold")
    for name, text in error.details().items():
        details.add_row(f"  {name}", Text(text))
    console.print(Text.assemble((f"{error.headline}: ", "bold red"), error.what))
    console.print(details)
    console.print(hint, style="dim")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with the command's status.

    Args:
      arguments: the command line without the program's name; the process's own when not given.

    Raises:
      SystemExit: always; 0 when all is well, 130 when interrupted, otherwise the error's exit code.
    """
    # ML Metadata reads it when it is loaded; otherwise it prints two lines for each connection to PostgreSQL.
    os.environ.setdefault("GLOG_minloglevel", "2")
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in given
    try:
        app([argument for argument in given if argument != "--verbose"], prog_name="conveyor")
    except ConveyorError as error:
        problem = error
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        problem = _as_conveyor_error(error)
    print_error(problem, verbose=verbose)
    _end_what_failed(problem)
    sys.exit(problem.exit_code)


def _end_what_failed(error: BaseException) -> None:
    """Closes what the functions that failed have open, such as a reader of Arrow whose threads the end of Python would meet."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__


def _as_conveyor_error(error: Exception) -> ConveyorError:
    problem: ConveyorError
    if disk.says_full(error):
        problem = disk.full_disk("Conveyor", getattr(error, "filename", None) or "", str(error))
    elif isinstance(error, _OF_PATHS) and error.filename:
        problem = StorageError(
            "A file or a folder cannot be used.",
            where=str(error.filename2 or error.filename),
            expected="a path that this user may read and write, whose folders are folders",
            seen=error.strerror or str(error),
            fix="Correct its rights, or name another path.",
        )
    else:
        problem = ConveyorError(
            f"Unexpected {type(error).__name__}: {error}",
            fix="This is probably a fault of Conveyor. Please report it with the traceback.",
        )
    problem.__cause__ = error
    return problem


if __name__ == "__main__":
    main()
