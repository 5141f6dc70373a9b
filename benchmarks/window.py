"""Compares a run in which the window moves on by one month with a run from nothing on the same months.

    .venv/bin/python -m benchmarks.window
    .venv/bin/python -m benchmarks.window --times 10

The window has nine training months and one evaluation month. Exits with 1 if the rows or statistics of the two runs differ.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.example import newest_artifact
from benchmarks.pipeline import WHOLE, Costs, jittered, run_ours, write_config
from pipeline.datasets import flights

BEFORE, AFTER = 201310, 201311


def main() -> int:
    """Runs the pipelines, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, help="repeat each month's flights this many times, with jitter")
    parser.add_argument("--folder", type=Path, help="work here and keep the files (default: a temporary folder)")
    options = parser.parse_args()
    console = Console(highlight=False)
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="conveyor-benchmark-"))).absolute()
    try:
        rows = write_months(folder / "data", options.times)
        console.print(f"{rows:,} flights in eleven months in {folder}")
        moved, fresh = folder / "moved", folder / "fresh"
        run_ours(console, moved, configured(moved, folder, BEFORE), "the months before")
        one_more = run_ours(console, moved, configured(moved, folder, AFTER), "one more month")
        from_nothing = run_ours(console, fresh, configured(fresh, folder, AFTER), "from nothing")
        show(console, from_nothing, one_more)
        different = list(differences(moved / "ours" / "artifacts" / "flights", fresh / "ours" / "artifacts" / "flights"))
        console.print(f"DIFFERENT: {', '.join(different)}" if different else "Rows and statistics are the same, byte for byte.")
        return 1 if different else 0
    finally:
        if not options.folder:
            shutil.rmtree(folder)


def write_months(folder: Path, times: int) -> int:
    """Writes a CSV file of flights for each month, unless it exists, and returns the number of rows."""
    table = flights.read_flights()
    table = table[table["span"] <= AFTER]
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for span, month in table.groupby("span"):
        month = month.drop(columns="span")
        month["scheduled_departure"] = month["scheduled_departure"].astype("datetime64[s]").astype("int64")
        path = folder / f"{span}.csv"
        if not path.exists():
            partial = path.with_suffix(".partial")
            for copy in range(times):
                jittered(month, random, copy).to_csv(partial, mode="a", header=copy == 0, index=False)
            partial.rename(path)
    return len(table) * times


def configured(workspace: Path, folder: Path, newest_span: int) -> Path:
    """Writes a configuration whose window ends with this span."""
    workspace.mkdir(exist_ok=True)
    data = {
        "input": f"{folder}/data/{{SPAN}}.csv",
        "newest_span": newest_span,
        "split": {"method": "window", "train_spans": 9, "eval_spans": 1},
    }
    # One epoch does not always make a model that is good enough for the next month, which does not matter here.
    sections = {"data": data, "evaluation.thresholds": {"auc": {"min": 0.5, "max_regression": 0.5}}}
    return write_config(
        workspace, 2, **{name: yaml.safe_dump(values, default_flow_style=True, width=1000) for name, values in sections.items()}
    )


def show(console: Console, from_nothing: Costs, one_more: Costs) -> None:
    """Prints wall seconds by node, and their ratio to a run from nothing."""
    table = Table("node", "from nothing: s", "one more month: s", "ratio", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for node in [*(name for name in from_nothing if name != WHOLE), WHOLE]:
        whole, part = from_nothing[node].wall, one_more[node].wall
        table.add_row(node, f"{whole:.1f}", f"{part:.1f}", f"{part / whole:.2f}")
    console.print(table)


def differences(moved: Path, fresh: Path) -> Iterator[str]:
    """The files of the newest Examples and ExampleStatistics that differ."""
    for output in ("ExampleGen/examples", "StatisticsGen/statistics"):
        one, other = (newest_artifact(root / output) for root in (moved, fresh))
        names = {str(path.relative_to(folder)) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
        _, unequal, absent = filecmp.cmpfiles(one, other, sorted(names), shallow=False)
        yield from (f"{output}/{name}" for name in [*unequal, *absent])


if __name__ == "__main__":
    sys.exit(main())
