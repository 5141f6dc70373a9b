"""The command line as a whole: help, typing mistakes, and how errors end it."""

from __future__ import annotations

import errno
import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipeline.cli import main as command_line
from pipeline.cli.options import as_path
from pipeline.errors import DataError, NotBlessedError
from pipeline.util import files

CONVEYOR = [sys.executable, "-m", "pipeline.cli.main"]


@pytest.fixture
def run(capsys):
    """Runs the command line in this process; returns its exit code, stdout and stderr."""

    def _run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return _run


@pytest.fixture
def failing(monkeypatch):
    """An app whose only command raises what it is given."""

    def _failing(error: BaseException) -> None:
        app = typer.Typer(pretty_exceptions_enable=False)

        @app.command()
        def fail() -> None:
            raise error

        monkeypatch.setattr(command_line, "app", app)

    return _failing


def test_help_names_every_command(run):
    code, out, _ = run("--help")

    assert code == 0
    laptop = ("config", "data", "doctor", "lineage", "report", "run", "runs", "score", "show")
    serving = ("gateway", "models", "predict", "rollback", "rollout", "serve")
    kubeflow = ("cancel", "cluster", "compile", "image", "logs", "schedule", "status", "submit")
    for command in (*laptop, *serving, *kubeflow):
        assert f" {command} " in out


def test_without_arguments_the_help_is_shown(run):
    assert "Usage: conveyor" in run()[2]


def test_version(run):
    code, out, _ = run("--version")

    assert code == 0
    assert out.startswith("conveyor 0.")


def test_a_misspelt_command_gets_a_suggestion(run):
    code, _, err = run("confg")

    assert code == 2
    assert "Did you mean 'config'?" in err


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom pipeline.cli import main\n"
        "try:\n  main.main(['--help'])\nexcept SystemExit:\n  pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    heavy = {"apache_beam", "kfp", "ml_metadata", "numpy", "pandas", "pipeline.config", "pyarrow", "tensorflow", "tfx", "yaml"}
    assert heavy & set(eval(done.stderr)) == set()


@pytest.mark.parametrize(
    ("error", "exit_code"), [(DataError("The label is missing.", where="a.csv"), 3), (NotBlessedError("Not good enough."), 4)]
)
def test_an_error_ends_on_one_screen_with_its_exit_code(run, failing, error, exit_code):
    failing(error)

    code, out, err = run()

    assert code == exit_code
    assert out == ""
    assert err.startswith(f"{error.headline}: {error.what}")
    assert "Traceback" not in err
    assert "--verbose" in err


def test_a_path_that_cannot_be_written_is_named_and_another_one_works(run, monkeypatch, tmp_path):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def write(page: str) -> None:
        files.write(Path(page), "text")

    monkeypatch.setattr(command_line, "app", app)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name in ("file/page.html", "folder"):
        code, _, err = run(str(tmp_path / name))
        assert code == 1
        assert "Storage error: A file or a folder cannot be used." in err
        assert f"{tmp_path}/{name.partition('/')[0]}" in err
    assert run(str(tmp_path / "folder" / "page.html"))[0] == 0


def test_verbose_shows_the_traceback_as_well(run, failing):
    failing(DataError("The label is missing."))

    code, _, err = run("--verbose")

    assert code == 3
    assert "Traceback" in err
    assert "Data error: The label is missing." in err


def test_verbose_is_accepted_behind_the_command(run, tmp_path):
    code, _, err = run("config", "validate", str(tmp_path / "absent.yaml"), "--verbose")

    assert code == 2
    assert "Traceback" in err


def test_a_full_disk_is_named(run, failing):
    failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/model"))

    code, _, err = run()

    assert code == 1
    assert err.startswith("Storage error: Conveyor could not write: the disk is full.")
    assert "/data/model" in err


def test_what_nobody_expected_is_short_too(run, failing):
    failing(ZeroDivisionError("division by zero"))

    code, _, err = run()

    assert code == 1
    assert "ZeroDivisionError: division by zero" in err
    assert "Traceback" not in err


def test_an_interrupt_ends_as_shells_expect(run, failing):
    failing(KeyboardInterrupt())

    assert run()[0] == 130


def test_brackets_in_a_message_are_not_taken_for_markup(run, failing):
    failing(DataError("A column [bold]is[/bold] odd.", seen="[red]"))

    assert "[bold]is[/bold]" in run()[2]


def test_the_installed_command_is_the_same():
    done = subprocess.run([*CONVEYOR, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("conveyor ")


def test_the_help_of_every_command_ends_with_an_example_that_it_takes():
    without = []
    for path, command in _commands(typer.main.get_command(command_line.app), ("conveyor",)):
        example = inspect.cleandoc(command.help or "").rpartition("\n\n")[2]
        if not example.startswith(f"Example: {' '.join(path)}"):
            without.append(" ".join(path))
            continue
        words = shlex.split(example.removeprefix("Example: ").partition(" > ")[0])
        # It parses the arguments, and refuses what the command does not take.
        command.make_context(path[-1], words[len(path) :])
    assert without == []


def _commands(command, path):
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name, each in inner.items():
        yield from _commands(each, (*path, name))


def test_every_path_of_the_command_line_is_read_as_one():
    def parameters_of(command):
        inner = getattr(command, "commands", {}).values()
        return [*command.params, *(parameter for each in inner for parameter in parameters_of(each))]

    paths = [each for each in parameters_of(typer.main.get_command(command_line.app)) if "Path" in str(vars(each))]

    assert {each.name for each in paths} >= {"config", "output", "file", "destination"}
    assert [each.name for each in paths if each.type_descriptor.parameter_info.parser is not as_path] == []


def test_a_path_may_begin_with_a_home_folder_and_not_with_a_scheme(run, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")

    code, _, err = run("config", "validate", "~/pipeline.yaml")
    assert (code, "/home/ada/pipeline.yaml" in err) == (2, True)
    code, _, err = run("compile", "--output=s3://bucket/package.yaml")
    assert (code, "not a path" in err) == (2, True)
