"""Profiles stock TFX and Conveyor with py-spy, on the data of benchmarks/pipeline.py, and shows where each node's time goes.

    .venv/bin/python -m benchmarks.profiling                # takes about five minutes; writes to .conveyor/profile
    chromium --headless --hide-scrollbars --window-size=900,420 --screenshot=docs/profile.png .conveyor/profile/profile.html

The folder then has a flame graph of each node, such as stock/Transform.svg and ours/Transform.svg, and profile.html, which
divides the seconds of each node into the categories of benchmarks/stacks.py.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import flames
from benchmarks.pipeline import observed, our_command, stock_command, write_config, write_data
from benchmarks.stacks import Stack, by_node, seconds_by_category, total
from pipeline.util.checkout import ROOT

# Samples per second. A process is stopped while its stacks are read, so a higher rate would slow down what is measured.
RATE = 50
# A node that takes less than this on both sides gets no bar of its own.
SHORTEST_SECONDS = 1.0
REST = "around the nodes"

Nodes = dict[str, list[Stack]]


def main() -> None:
    """Profiles both, writes the charts and prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, help="repeat the 336,776 flights this many times, with jitter")
    parser.add_argument("--folder", type=Path, default=ROOT / ".conveyor" / "profile", help="work here, and keep the files")
    options = parser.parse_args()
    console, folder = Console(highlight=False), options.folder.absolute()
    write_data(folder / "data" / "flights.csv", options.times)
    config = write_config(folder, workers=2)
    stock, ours = folder / "stock", folder / "ours"
    sides = {
        "stock": profile(console, "stock", stock_command(config, stock), stock),
        "ours": profile(console, "ours", our_command(config), ours),
    }
    rows = side_by_side(sides)
    page = folder / "profile.html"
    page.write_text(flames.bars(rows))
    for name, found in rows.items():
        for side, stacks in found.items():
            if stacks:
                (folder / side / f"{name.replace(' ', '-')}.svg").write_text(flames.flame_graph(f"{name}, {side}", stacks))
                show(console, f"{name}, {side}", stacks)
    console.print(f"{page} compares the nodes; {stock} and {ours} have a flame graph of each.")


def profile(console: Console, side: str, command: Sequence[str], home: Path) -> Nodes:
    """Runs a pipeline from nothing under py-spy.

    Args:
      console: shows the elapsed time.
      side: the pipeline's name in the output.
      command: the command that runs the pipeline.
      home: the folder that it writes to, which is emptied first.

    Returns:
      The stacks of each node, as `by_node` returns them.

    Raises:
      SystemExit: no model was pushed, because the pipeline failed or the model was not blessed.
    """
    shutil.rmtree(home, ignore_errors=True)
    samples = home.with_suffix(".stacks")
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--rate", str(RATE), "--output", str(samples)]
    spy += ["--format", "raw", "--nolineno", "--idle", "--threads", "--subprocesses", "--"]
    observed(console, side, [*spy, *command], home)
    # py-spy exits with 0 even if the command fails.
    if not any((home / "models").rglob("saved_model.pb")):
        raise SystemExit(f"{' '.join(command)} failed, or its model was not blessed; its output is in {home / side}.log")
    with samples.open() as lines:
        return by_node(lines, RATE)


def side_by_side(sides: dict[str, Nodes]) -> dict[str, Nodes]:
    """The stacks of each side for each node with a bar, the longest first; everything else comes last, together."""
    rows: dict[str, Nodes] = {}
    rest: Nodes = {side: [] for side in sides}
    for name in {name for nodes in sides.values() for name in nodes}:
        found = {side: nodes.get(name, []) for side, nodes in sides.items()}
        if name and max(map(total, found.values())) >= SHORTEST_SECONDS:
            rows[name] = found
        else:
            for side, stacks in found.items():
                rest[side] += stacks
    longest_first = sorted(rows, key=lambda name: max(map(total, rows[name].values())), reverse=True)
    return {**{name: rows[name] for name in longest_first}, REST: rest}


def show(console: Console, title: str, stacks: Sequence[Stack]) -> None:
    """Prints the seconds by category."""
    seconds = sorted(seconds_by_category(stacks).items(), key=lambda item: -item[1])
    parts = ", ".join(f"{category} {value:.1f}" for category, value in seconds if value >= 0.05)
    console.print(f"{title}: {total(stacks):.1f} s ({parts})", soft_wrap=True)


if __name__ == "__main__":
    main()
