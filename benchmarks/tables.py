"""Takes tables as strangers have them from the file to a prediction, and writes what came of each into docs/tables.md.

    .venv/bin/python benchmarks/tables.py                          # every table that has no result yet, then the page
    .venv/bin/python benchmarks/tables.py --only iris --only taxi  # these again
    .venv/bin/python benchmarks/tables.py --page                   # the page alone, of the results that are there

Each table gets a folder of its own, in which the commands of a new user run as processes: `conveyor init`, `run`, `serve` and
`predict`. What `init` writes is not edited. The public tables come with packages of the lock; the others are made here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

# When this file runs as a script, Python would take it for the package `pipeline`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console  # noqa: E402

from benchmarks.public_tables import TABLES, PublicTable  # noqa: E402
from pipeline.util.checkout import ROOT  # noqa: E402

PAGE = ROOT / "docs" / "tables.md"
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"
COMMAND = (sys.executable, "-m", "pipeline.cli.main")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "COLUMNS": "200"}
SECONDS_TO_SERVE = 120
REFUSED = "The model was not blessed"
MAIN_METRICS = ("auc", "accuracy", "rmse", "mse")

Result = dict[str, Any]


def main() -> int:
    """Runs what is asked for, writes the page if all have a result, and returns how many did not end in a prediction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", choices=[table.name for table in TABLES], help="this table again; repeatable"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".conveyor" / "tables", help="where tables and results are kept")
    parser.add_argument("--page", action="store_true", help="write the page only")
    options = parser.parse_args()
    console = Console(highlight=False)
    for table in TABLES:
        folder = options.folder.absolute() / table.name
        wanted = table.name in options.only if options.only else not (folder / "result.json").exists()
        if wanted and not options.page:
            result = take(table, folder)
            (folder / "result.json").write_text(json.dumps(result, indent=2))
            console.print(f"{table.name:<14} {result['outcome']:<24} {result['seconds']:6.1f} s")
    results = {table.name: options.folder / table.name / "result.json" for table in TABLES}
    found = {name: json.loads(path.read_text()) for name, path in results.items() if path.exists()}
    if len(found) == len(TABLES):
        put_between(PAGE, BEGIN, rendered(found))
    else:
        console.print(rendered(found))
    return sum(result["outcome"] != "predicted" for result in found.values())


def take(table: PublicTable, folder: Path) -> Result:
    """Takes one table from its file to a prediction, as far as it comes.

    Args:
      table: the table.
      folder: the folder to work in, which is made anew.

    Returns:
      How far it came, how long it took, and what was seen on the way.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source, first_rows = table.write(folder)
    result: Result = {"outcome": "init", "rows": table.size[0], "columns": table.size[1], "steps": {}}
    started = time.monotonic()
    for step in ("init", "run", "predict"):
        step_started = time.monotonic()
        if step == "predict":
            code, output = predict(folder, first_rows)
        else:
            code, output = command(
                folder, *{"init": ("init", source, "--label", table.label, *table.options), "run": ("run",)}[step]
            )
        result["steps"][step] = round(time.monotonic() - step_started, 1)
        (folder / f"{step}.txt").write_text(output)
        result["outcome"] = step
        if code:
            result["error"] = output.strip().splitlines()[-8:]
            break
        if step == "init":
            result["lines"] = settings_in(folder / "pipeline.yaml")
            result["warnings"] = output.count("Warning: ")
        elif step == "run":
            result["metric"] = metric_in(output)
    else:
        result["outcome"] = "predicted"
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs a command in a folder and returns its exit code and what it printed."""
    done = subprocess.run([*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def predict(folder: Path, rows: str) -> tuple[int, str]:
    """Serves the model and asks it about the rows of a file until it answers."""
    with serving(folder) as port:
        deadline = time.monotonic() + SECONDS_TO_SERVE
        name = re.findall(r"^name: (.+)$", (folder / "pipeline.yaml").read_text(), flags=re.MULTILINE)[0]
        while True:
            code, output = command(folder, "predict", "--file", rows, "--address", f"grpc://localhost:{port}/{name}")
            if code in (0, 2, 3) or time.monotonic() > deadline:
                return code, output
            time.sleep(0.5)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serves the model that was pushed, and yields the port of gRPC."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        port, rest = first.getsockname()[1], second.getsockname()[1]
    serve = [*COMMAND, "serve", "--port", str(port), "--rest-port", str(rest), "--engine", "embedded"]
    with (folder / "serve.txt").open("w") as output:
        process = subprocess.Popen(serve, cwd=folder, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)
    try:
        while "Serving" not in (folder / "serve.txt").read_text() and process.poll() is None:
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


def settings_in(configuration: Path) -> int:
    """The lines of a configuration that are neither comments nor blank, the example request left out."""
    text = configuration.read_text().partition("\ngateway:")[0]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def metric_in(output: str) -> str:
    """The main metric in the summary of a run."""
    for name in MAIN_METRICS:
        if match := re.search(rf"^{name}\s+(\S+)", output, flags=re.MULTILINE):
            return f"{name} {match[1]}"
    return ""


def put_between(page: Path, begin: str, text: str) -> None:
    """Puts text between a mark and the next end in a page."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{begin}{text}{END}{after}")


def rendered(results: dict[str, Result]) -> str:
    """The results as a table in Markdown."""
    heads = ("table", "from", "as", "rows", "columns", "label", "init", "run", "serve, predict", "lines", "warnings", "outcome")
    lines = [heads, tuple("---" for _ in heads)]
    for table in TABLES:
        if result := results.get(table.name):
            steps = [f"{result['steps'][step]:.0f} s" if step in result["steps"] else "" for step in ("init", "run", "predict")]
            lines.append(
                (
                    table.name,
                    table.origin,
                    table.form.words,
                    f"{result['rows']:,}",
                    f"{result['columns']:,}",
                    f"`{table.label}`",
                    *steps,
                    str(result.get("lines", "")),
                    str(result.get("warnings", "")),
                    outcome(result),
                )
            )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def outcome(result: Result) -> str:
    """What came of a table, in words."""
    if result["outcome"] == "predicted":
        return f"predicts; {result['metric']}"
    if any(REFUSED in line for line in result["error"]):
        (seen,) = (line.strip().removeprefix("seen ").strip() for line in result["error"] if line.strip().startswith("seen "))
        return f"refused by the gate: {seen}"
    return f"{result['outcome']} ends with: {first_line(result['error'])}"


def first_line(lines: Sequence[str]) -> str:
    """The line of an error's output that says what happened: the one above its details."""
    above = [line for line, following in pairwise(lines) if following.startswith(("  where ", "  expected ", "  seen "))]
    return above[0].strip().replace("|", "\\|") if above else "no prediction"


if __name__ == "__main__":
    sys.exit(main())
