"""Wall time, CPU time and memory of a command and all the processes it starts."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SECONDS_BETWEEN_SAMPLES = 0.4


@dataclass(frozen=True)
class Cost:
    """The time and memory of a piece of work.

    Attributes:
      wall: seconds from start to end.
      cpu: CPU seconds over all cores.
      memory: peak bytes. Pages that processes share count once (proportional set size).
    """

    wall: float
    cpu: float
    memory: int


@dataclass
class _Sample:
    at: float
    cpu: dict[int, float] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)
    output: dict[int, str] = field(default_factory=dict)


class Measured:
    """The costs of a command that has ended.

    Args:
      started: when it started, in seconds since 1970.
      ended: when it ended.
      samples: measurements in between, the oldest first.
    """

    def __init__(self, started: float, ended: float, samples: Sequence[_Sample]) -> None:
        self.started, self.ended, self._samples = started, ended, samples

    def whole(self) -> Cost:
        """The cost from start to end."""
        return self.between(self.started, self.ended)

    def between(self, start: float, end: float) -> Cost:
        """The cost of all processes within a period, in seconds since 1970."""
        within = [sample for sample in self._samples if start <= sample.at <= end]
        memory = max((sum(sample.memory.values()) for sample in within), default=0)
        return Cost(end - start, self._cpu_until(end) - self._cpu_until(start), memory)

    def of_log(self, name: str, start: float, end: float) -> Cost:
        """The cost of the processes that write their output to a file of this name.

        Args:
          name: the file's name, without its folder.
          start: when the work started, in seconds since 1970.
          end: when the work ended.
        """
        cpu: dict[int, float] = {}
        memory = 0
        for sample in self._samples:
            mine = [pid for pid, output in sample.output.items() if Path(output).name == name]
            cpu.update({pid: sample.cpu[pid] for pid in mine})
            memory = max(memory, sum(sample.memory[pid] for pid in mine))
        return Cost(end - start, sum(cpu.values()), memory)

    def _cpu_until(self, moment: float) -> float:
        latest: dict[int, float] = {}
        for sample in self._samples:
            if sample.at <= moment:
                latest.update(sample.cpu)
        return sum(latest.values())


def measure(command: Sequence[str], log: Path, *, environment: dict[str, str], watch: Callable[[], None]) -> Measured:
    """Runs a command to its end.

    Args:
      command: the program and its arguments.
      log: the file for its output.
      environment: all of its environment variables.
      watch: called several times a second while it runs.

    Raises:
      SystemExit: the command failed.
    """
    samples: list[_Sample] = []
    started = time.time()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                samples.append(_sample(root))
                watch()
                time.sleep(_SECONDS_BETWEEN_SAMPLES)
        finally:
            process.kill()
            process.wait()
    ended = time.time()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}; its output is in {log}")
    return Measured(started, ended, samples)


def _sample(root: psutil.Process) -> _Sample:
    sample = _Sample(time.time())
    with suppress(psutil.NoSuchProcess):
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, OSError):
                times, folder = process.cpu_times(), Path("/proc", str(process.pid))
                rollup = defaultdict(int, _rollup(folder / "smaps_rollup"))
                sample.output[process.pid] = str((folder / "fd" / "1").readlink())
                sample.memory[process.pid] = rollup["Pss"]
                sample.cpu[process.pid] = times.user + times.system
    return sample


def _rollup(path: Path) -> dict[str, int]:
    """The totals over a process's memory mappings, in bytes."""
    fields = (line.split() for line in path.read_text().splitlines()[1:])
    return {parts[0].rstrip(":"): int(parts[1]) * 1024 for parts in fields}
