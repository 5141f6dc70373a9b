"""Charts how the time and memory of a whole run grow with the rows, from the figures that benchmarks/pipeline.py writes.

    for times in 1 3 10 30; do .venv/bin/python benchmarks/pipeline.py --only ours --times $times --json $times.json; done
    .venv/bin/python -m benchmarks.scale 1.json 3.json 10.json 30.json > scale.html

The page goes to standard output.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.flames import STYLE
from pipeline.report.html.charts import Series, legend, line_chart

WHOLE = "whole run"


def main() -> None:
    """Prints an HTML page with two charts, of seconds and of GiB over millions of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="+", type=Path, help="files that benchmarks/pipeline.py --json wrote")
    runs = sorted((json.loads(path.read_text()) for path in parser.parse_args().figures), key=lambda run: run["rows"])
    costs = [(run["rows"] / 1e6, run["runs"]["ours"][WHOLE]) for run in runs]
    million, first = costs[0]
    seconds = [(rows, cost["wall"]) for rows, cost in costs]
    straight = [(million, first["wall"]), (costs[-1][0], first["wall"] * costs[-1][0] / million)]
    memory = [(rows, cost["memory"] / 2**30) for rows, cost in costs]
    lines = [Series("Conveyor", seconds, dots=True), Series("as the rows grow", straight, "guide")]
    time_chart = line_chart(
        lines, label="Wall time over rows", x_label="million rows", y_label="seconds", y_range=(0.0, straight[-1][1])
    )
    memory_chart = line_chart(
        [Series("Conveyor", memory, dots=True)],
        label="Memory over rows",
        x_label="million rows",
        y_label="GiB",
        y_range=(0.0, max(value for _, value in memory) * 1.1),
    )
    print(f"<!doctype html><meta charset=utf-8><title>Scale</title><style>{STYLE.read_text()}</style>")
    print('<main style="display: flex; gap: 3rem">')
    print("<div><h2>Wall time of a whole run</h2>", time_chart, legend(lines), "</div>")
    print("<div><h2>Memory at the peak</h2>", memory_chart, "</div></main>")


if __name__ == "__main__":
    main()
