"""Where the time of each node goes, in stock TFX and in Conveyor: both run under py-spy, on the data of benchmarks/pipeline.py.

    .venv/bin/python -m benchmarks.profiling                # some five minutes; folder .conveyor/profile
    chromium --headless --hide-scrollbars --window-size=900,420 --screenshot=docs/profile.png .conveyor/profile/profile.html

The folder then has a flame graph of each node, stock/Transform.svg and ours/Transform.svg, and profile.html: how the seconds of
the nodes divide by the rules of benchmarks/stacks.py.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import flames
from benchmarks.pipeline import REPOSITORY, observed, our_command, stock_command, write_config, write_data
from benchmarks.stacks import Stack, by_node, seconds_by_category, total

# More would slow down what is measured: a process stands still while its stacks are read.
RATE = 50
# A node that takes less on both sides has no bar of its own.
SHORTEST_SECONDS = 1.0
REST = "around the nodes"

Nodes = dict[str, list[Stack]]


def main() -> None:
    """Profiles both, writes the pictures and prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, help="how often the 336,776 flights are repeated, each time jittered")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".conveyor" / "profile", help="where to work, kept")
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
                tell(console, f"{name}, {side}", stacks)
    console.print(f"{page} shows it; a flame graph of each node is in {stock} and {ours}")


def profile(console: Console, side: str, command: Sequence[str], home: Path) -> Nodes:
    """Runs a pipeline anew under py-spy.

    Args:
      console: for a clock meanwhile.
      side: what to call it.
      command: runs the pipeline.
      home: what it writes goes here; emptied first.

    Returns:
      The stacks by node, as by_node tells them apart.

    Raises:
      SystemExit: it has pushed no model: it has failed, or its model was not blessed.
    """
    shutil.rmtree(home, ignore_errors=True)
    samples = home.with_suffix(".stacks")
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--rate", str(RATE), "--output", str(samples)]
    spy += ["--format", "raw", "--nolineno", "--idle", "--threads", "--subprocesses", "--"]
    observed(console, side, [*spy, *command], home)
    # However the command ends, py-spy ends well.
    if not any((home / "models").rglob("saved_model.pb")):
        raise SystemExit(f"{' '.join(command)} has failed, or its model was not blessed; its output is in {home / side}.log")
    with samples.open() as lines:
        return by_node(lines, RATE)


def side_by_side(sides: dict[str, Nodes]) -> dict[str, Nodes]:
    """The stacks of each side for each node that has a bar, the longest first; what is left comes last."""
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


def tell(console: Console, title: str, stacks: Sequence[Stack]) -> None:
    """Prints how the seconds divide."""
    seconds = sorted(seconds_by_category(stacks).items(), key=lambda item: -item[1])
    parts = ", ".join(f"{category} {value:.1f}" for category, value in seconds if value >= 0.05)
    console.print(f"{title}: {total(stacks):.1f} s ({parts})", soft_wrap=True)


if __name__ == "__main__":
    main()
