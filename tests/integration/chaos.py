"""Runs are killed, stored files damaged, disks filled and metadata stores restored, at random, from a seed.

    .venv/bin/python -m tests.integration.chaos --seed 7 --kills 50 --flips 50 --disks 20 --stores 5

After each, `conveyor run` makes what an undisturbed run makes, or ends with an error that has a name, and the runs after it get
there. What does neither is printed with the seed of its case, which `--only` repeats.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.config.loading import load_config
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.find import run_ids
from tests.fakes.small_disk import fill, small_disk

CONFIG = """\
name: houses
task: regression
label: price
data: {input: "data/span-{SPAN}/houses.csv", split: {train_spans: 2}}
model: {kind: linear}
infra_validator: {runner: process, requests: 5, timeout_seconds: 3600}
"""
ROWS_PER_SPAN = 300
SPANS = (2, 3, 4)
"""The newest span of each of three runs."""
DISK_BYTES = 256 << 20
_ATTEMPTS = 3
_RUN_SECONDS = 3600
_FAULT = re.compile("Traceback|probably a fault of Conveyor")
_ADVICE = "move it away"


class BrokenPromiseError(AssertionError):
    """A run that made something else without a word, or ended with an error that has no name, or could not be mended."""


@dataclass(frozen=True)
class Ending:
    """How a command ended, and what it printed."""

    code: int
    text: str


@dataclass(frozen=True)
class Project:
    """A folder with a configuration, data and a workspace.

    Attributes:
      folder: the folder.
      arguments: further ones of `conveyor run`.
    """

    folder: Path
    arguments: tuple[str, ...] = ()

    @property
    def workspace(self) -> Path:
        """The folder of what runs make."""
        return self.folder / ".conveyor"

    @property
    def store(self) -> Path:
        """The file of the metadata store."""
        return self.workspace / "metadata.sqlite"

    def add_span(self, span: int) -> None:
        """Writes the rows of a span, always the same."""
        chance = random.Random(span)
        path = self.folder / "data" / f"span-{span}" / "houses.csv"
        path.parent.mkdir(parents=True)
        lines = ["rooms,area,district,price"]
        for _ in range(ROWS_PER_SPAN):
            rooms, district = chance.randint(1, 8), chance.choice(["north", "south", "east", "west"])
            area = rooms * 18 + chance.gauss(0, 6)
            price = rooms * 30 + area * 2 + (20 if district == "north" else 0) + chance.gauss(0, 5)
            lines.append(f"{rooms},{area:.1f},{district},{price:.1f}")
        path.write_text("\n".join(lines) + "\n")

    def start(self, command: str = "run", *arguments: str) -> subprocess.Popen[str]:
        """Starts a command."""
        line = [sys.executable, "-m", "pipeline.cli.main", command, *arguments]
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.Popen(
            line,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def run(self) -> Ending:
        """Runs the pipeline."""
        return ended(self.start("run", *self.arguments))

    def result(self) -> Any:
        """What the newest run made of the rows, whatever it compared that with."""
        config = load_config(self.folder / "pipeline.yaml", [f"workspace={self.workspace}"])
        details = read_run_details(config, run_ids(config)[-1])
        metrics = {
            (each.key, name): pair.candidate
            for each in (details.evaluation.slices if details.evaluation else ())
            for name, pair in each.metrics.items()
        }
        return dict(details.data.rows), details.statistics, metrics


def ended(command: subprocess.Popen[str]) -> Ending:
    """Waits for a command."""
    text, _ = command.communicate(timeout=_RUN_SECONDS)
    return Ending(command.returncode, text)


class Chaos:
    """Disturbs copies of a project, and looks at what comes of it.

    Args:
      folder: an empty folder.
      arguments: further ones of `conveyor run`.
    """

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self._folder = folder
        # The metadata store has whole paths, so each copy takes the project's place.
        self._project = Project(folder / "project", tuple(arguments))
        self._copies: list[Path] = []
        self._stores: dict[str, Path | None] = {"moved away": None}
        self._results: list[Any] = []
        self._seconds = 0.0

    def prepare(self, runs: int = len(SPANS)) -> None:
        """Runs undisturbed, for each span once, and keeps the project before and after each run."""
        self._project.folder.mkdir()
        (self._project.folder / "pipeline.yaml").write_text(CONFIG)
        self._project.add_span(1)
        for number, span in enumerate(SPANS[:runs]):
            self._project.add_span(span)
            started = time.monotonic()
            command = self._project.start("run", *self._project.arguments)
            if number == 1:
                self._keep_stores(command)
            ending = ended(command)
            assert ending.code == 0, ending.text
            self._seconds = time.monotonic() - started
            self._results.append(self._project.result())
            self._copies.append(shutil.copytree(self._project.folder, self._folder / f"after-{number}"))
            self._keep_store(f"of run {number + 1}")

    def kill(self, chance: random.Random) -> str:
        """Kills the command or one of its processes at some moment of a run."""
        self._restore(0)
        self._project.add_span(SPANS[1])
        moment = chance.uniform(0, self._seconds)
        command = self._project.start("run", *self._project.arguments)
        with suppress(subprocess.TimeoutExpired):
            command.wait(moment)
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(command.pid)
            victim = chance.choice([process, process, *process.children(recursive=True)])
            victim.send_signal(signal.SIGKILL)
        ending = ended(command)
        seen = f"a process killed after {moment:.1f} s"
        if ending.code != -signal.SIGKILL and self._is_fine(ending, 1, seen):
            return f"{seen}: borne"
        return self._mended(1, seen)

    def flip(self, chance: random.Random) -> str:
        """Flips a bit of a stored file of some kind, before a run on a further span or before one without news."""
        before = chance.choice([0, 1])
        self._restore(before)
        path = _of_some_kind(self._project.workspace, chance)
        content = bytearray(path.read_bytes())
        position, bit = chance.randrange(len(content)), chance.randrange(8)
        content[position] ^= 1 << bit
        path.write_bytes(content)
        seen = f"bit {bit} of byte {position:,} of {path.relative_to(self._project.workspace)} flipped after run {before + 1}"
        verified = ended(self._project.start("verify"))
        if _FAULT.search(verified.text):
            raise BrokenPromiseError(f"{seen}: verify: {verified.text}")
        told = "; verify names it" if str(path) in verified.text.replace("\n", "") else ""
        if before == 0:
            self._project.add_span(SPANS[1])
        return self._mended(1, seen) + told

    def fill_disk(self, chance: random.Random) -> str:
        """Runs on a disk that becomes full, and again with room on it."""
        size, used = (
            sum(path.stat().st_size for path in self._copies[number].rglob("*") if path.is_file()) for number in (1, 0)
        )
        free = chance.randrange(int((size - used) * 1.5))
        seen = f"a disk with {free:,} bytes free"
        shutil.rmtree(self._project.folder, ignore_errors=True)
        with small_disk(self._project.folder, DISK_BYTES) as disk:
            shutil.copytree(self._copies[0], disk, dirs_exist_ok=True)
            self._project.add_span(SPANS[1])
            fill(disk, free)
            ending = self._project.run()
            is_done = self._is_fine(ending, 1, seen)
            if not is_done and "disk is full" not in " ".join(ending.text.split()):
                raise BrokenPromiseError(f"{seen}: another error: {ending.text}")
            (disk / "filler").unlink()
            done = f"{seen}: enough" if is_done else self._mended(1, seen)
        self._project.folder.rmdir()
        return done

    def restore_store(self, chance: random.Random) -> str:
        """Runs with an older metadata store, or a new one, on a further span."""
        self._restore(1)
        name = chance.choice(list(self._stores))
        copy = self._stores[name]
        self._project.store.unlink()
        if copy is not None:
            shutil.copy(copy, self._project.store)
        self._project.add_span(SPANS[2])
        return self._mended(2, f"the metadata store {name}")

    def _mended(self, number: int, seen: str) -> str:
        """Runs until it is done, with what the errors advise, and makes sure that it is as if nothing had been.

        Raises:
          BrokenPromiseError: it is not.
        """
        errors = []
        for _ in range(_ATTEMPTS):
            ending = self._project.run()
            if self._is_fine(ending, number, seen):
                left = ended(self._project.start("verify"))
                if _FAULT.search(left.text):
                    raise BrokenPromiseError(f"{seen}: verify: {left.text}")
                return f"{seen}: " + ("; ".join(errors) or "the same")
            errors.append(_headline(ending.text))
            if _ADVICE in " ".join(ending.text.split()):
                self._project.store.unlink()
        raise BrokenPromiseError(f"{seen}: no run gets to its end: {ending.text}")

    def _is_fine(self, ending: Ending, number: int, seen: str) -> bool:
        """Whether a run made what the undisturbed one did; false if it ended with an error that has a name.

        Raises:
          BrokenPromiseError: neither.
        """
        if _FAULT.search(ending.text):
            raise BrokenPromiseError(f"{seen}: {ending.text}")
        if ending.code != 0:
            if not 0 < ending.code < 6:
                raise BrokenPromiseError(f"{seen}: exit code {ending.code}: {ending.text}")
            return False
        result = self._project.result()
        if result != self._results[number]:
            raise BrokenPromiseError(f"{seen}: another result: {result} instead of {self._results[number]}: {ending.text}")
        return True

    def _restore(self, number: int) -> None:
        shutil.rmtree(self._project.folder, ignore_errors=True)
        shutil.copytree(self._copies[number], self._project.folder)

    def _keep_stores(self, command: subprocess.Popen[str]) -> None:
        """Copies the metadata store at two moments of a run."""
        for part in (0.4, 0.7):
            with suppress(subprocess.TimeoutExpired):
                command.wait(self._seconds * (part if part == 0.4 else 0.3))
            self._keep_store(f"of {part:.0%} of run 2")

    def _keep_store(self, name: str) -> None:
        copy = self._folder / f"store-{len(self._stores)}.sqlite"
        with closing(sqlite3.connect(self._project.store)) as store, closing(sqlite3.connect(copy)) as target:
            store.backup(target)
        self._stores[name] = copy


def _of_some_kind(workspace: Path, chance: random.Random) -> Path:
    """A stored file, each kind of them as likely as the others."""
    kinds = defaultdict(list)
    for path in sorted(workspace.rglob("*")):
        if path.is_file() and path.stat().st_size and path.suffix != ".log":
            kinds[re.sub(r"[0-9a-f]{32,}|\d+", "N", str(path.relative_to(workspace)))].append(path)
    return chance.choice(kinds[chance.choice(sorted(kinds))])


def _headline(text: str) -> str:
    """The line of an output that says what is wrong."""
    found = re.search(r"^([A-Z]\w+ error|Damaged input|A node failed|Conveyor stopped): .*$", text, re.MULTILINE)
    return found[0] if found else text.strip().splitlines()[-1]


def attempt(kind: Callable[[random.Random], str], seed: str) -> bool:
    """Prints what comes of a disturbance; false if a promise was broken."""
    try:
        print(f"{seed:<12} {kind(random.Random(seed))}", flush=True)
    except BrokenPromiseError as error:
        print(f"{seed:<12} BROKEN: {error}", flush=True)
        return False
    return True


def main() -> None:
    """Disturbs as often as told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    for name in ("kills", "flips", "disks", "stores"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="cases to repeat, such as 7-flips-3")
    parser.add_argument("--to", help="the last node of each run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), ("--to", options.to) if options.to else ())
        chaos.prepare()
        kinds = {"kills": chaos.kill, "flips": chaos.flip, "disks": chaos.fill_disk, "stores": chaos.restore_store}
        seeds = [f"{options.seed}-{name}-{number}" for name in kinds for number in range(getattr(options, name))]
        done = [attempt(kinds[seed.split("-")[1]], seed) for seed in [*seeds, *options.only]]
    print(f"{len(done)} disturbances from seed {options.seed}, {done.count(False)} of which broke a promise")
    sys.exit(done.count(False) > 0)


if __name__ == "__main__":
    main()
