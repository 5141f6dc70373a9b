"""What manifests of artifacts cost a run: its processor time with them and without, and that of the manifests themselves.

    .venv/bin/python -m benchmarks.manifests .conveyor/data/flights --runs 3

Runs of the flights, each in a workspace of its own and therefore without a cache, take turns. Manifests cost less than two
equal runs differ, so the time within them is measured as well: to write them, and to compare with them what nodes read.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks.example import CONFIG
from pipeline.util.checkout import ROOT

_PR_SET_CHILD_SUBREAPER = 36
# Python imports it at its start. It changes the module when it is imported, in each process of the run.
_SITE = """\
import importlib.util, sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "pipeline.runs.verification":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), change(module))
        return spec

def timed(function):
    def call(*arguments):
        started = time.thread_time()
        result = function(*arguments)
        result = result if result is None else iter(list(result))
        with open({times!r}, "a") as file:
            print(time.thread_time() - started, file=file)
        return result
    return call

def change(module):
    if {with_manifests!r}:
        module.record, module.flaws = timed(module.record), timed(module.flaws)
    else:
        module.record = lambda artifact: None

sys.meta_path.insert(0, Finder())
"""


def main() -> None:
    """Runs, and prints the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the flights, as `conveyor data flights` writes it")
    parser.add_argument("--runs", type=int, default=3, help="how many of each kind")
    options = parser.parse_args()
    # What outlives its parent becomes a child of this process, so that its time is counted.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    whole: dict[bool, list[float]] = {True: [], False: []}
    within: list[float] = []
    for number in range(options.runs):
        for with_manifests in (True, False):
            with tempfile.TemporaryDirectory(prefix="conveyor-") as folder:
                seconds, of_manifests = run(options.data.resolve(), Path(folder), with_manifests=with_manifests)
            whole[with_manifests].append(seconds)
            within += [of_manifests] if with_manifests else []
            print(
                f"run {number + 1} {'with' if with_manifests else 'without'}: {seconds:.1f} s, {of_manifests:.3f} s in them",
                flush=True,
            )
    median = {each: statistics.median(seconds) for each, seconds in whole.items()}
    print(f"with {median[True]:.1f} s, without {median[False]:.1f} s, medians of {options.runs}")
    print(f"in manifests {statistics.median(within):.3f} s, {statistics.median(within) / median[True]:.2%} of a run")


def run(data: Path, folder: Path, *, with_manifests: bool) -> tuple[float, float]:
    """Runs the flights.

    Args:
      data: the folder with the flights.
      folder: an empty folder for the workspace.
      with_manifests: whether artifacts get one.

    Returns:
      Seconds of processor time over all processes, and those within manifests.
    """
    times = folder / "times"
    times.touch()
    (folder / "sitecustomize.py").write_text(_SITE.format(times=str(times), with_manifests=with_manifests))
    workspace = folder / "workspace"
    (workspace / "data").mkdir(parents=True)
    (workspace / "data" / "flights").symlink_to(data)
    before = _processor_seconds()
    subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "run", str(CONFIG), "--set", f"workspace={workspace}"],
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return _processor_seconds() - before, sum(map(float, times.read_text().split()))


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
