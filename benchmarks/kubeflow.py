"""Compares nodes that share a pod with a pod a node, on Kubeflow: what pods work, and what a run would take.

    .venv/bin/python -m benchmarks.kubeflow .conveyor/data/flights

The compiled packages are walked without a cluster, each pod as a process of this machine. What Kubeflow adds is modelled
with the waits that were recorded on a real backend, at Argo's default requeue time and at that of `manifests/kubeflow`
(`tests/walker/timing.py`). Three runs each: the first one, one with a baseline, and one for which nothing has changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.config.loading import load_config
from pipeline.kubeflow.compile import compile_package
from pipeline.util import checkout
from tests.walker import IMAGE_ENVIRONMENT, Package, ProcessRunner, Run, State, walk
from tests.walker.timing import Waits, modelled, total

RUNS = ("first", "with a baseline", "unchanged")
MODES = {"groups": (), "a pod a node": ("kubeflow.groups=null",)}
REQUEUE = {"10 s": "complete", "2 s": "refused"}


def main() -> None:
    """Walks the packages and prints what their runs would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the flights, as `conveyor data flights` writes it")
    parser.add_argument("--only", choices=MODES, help="one of the two")
    options = parser.parse_args()
    console = Console(highlight=False)
    for mode in [options.only] if options.only else MODES:
        with tempfile.TemporaryDirectory(prefix="conveyor-") as folder:
            measure(mode, options.data.resolve(), Path(folder), console)


def measure(mode: str, data: Path, folder: Path, console: Console) -> None:
    """Walks the three runs of a package, and prints their pods and their times.

    Args:
      mode: the name of the mode.
      data: the folder with the flights.
      folder: an empty folder for the volume and for the pods.
      console: where to print.
    """
    (volume := folder / "volume").mkdir()
    (volume / "data").mkdir()
    (volume / "data" / "flights").symlink_to(data)
    config = load_config(
        checkout.ROOT / "examples" / "flights" / "pipeline.yaml", (f"kubeflow.mount_path={volume}", *MODES[mode])
    )
    package = Package.parse(compile_package(config))
    for title in RUNS:
        run = walk(
            package,
            folder / "pods",
            secrets={"conveyor-metadata": {"url": f"sqlite:///{volume}/metadata.sqlite"}},
            volumes={"conveyor": volume},
            run_pod=ProcessRunner({**IMAGE_ENVIRONMENT, "PYTHONPATH": str(checkout.ROOT)}),
            parallelism=os.cpu_count() or 1,
        )
        if run.state is not State.SUCCEEDED:
            raise SystemExit(run.describe())
        show(f"{mode}, {title}", package, run, console)


def show(title: str, package: Package, run: Run, console: Console) -> None:
    """Prints what each pod of a run worked, and when it would begin and end on a cluster.

    Args:
      title: of the run.
      package: the package that was walked.
      run: what became of it.
      console: where to print.
    """
    waits = Waits.recorded(REQUEUE["2 s"])
    table = Table("pod", "worked", "from", "to", title=title, title_justify="left")
    for span in modelled(package, run, waits):
        table.add_row(span.task, f"{span.worked:.1f} s", f"{span.begin:.0f} s", f"{span.end:.0f} s")
    console.print(table)
    for requeue, record in REQUEUE.items():
        console.print(f"{len(run.tasks)} pods, modelled total at a requeue time of {requeue}: ", end="")
        console.print(f"{total(package, run, Waits.recorded(record)):.0f} s")


if __name__ == "__main__":
    main()
