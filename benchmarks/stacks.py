"""Stacks that py-spy has sampled: which node each belongs to, and what kind of work it is at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

IMPORTS = "importing modules"
BEAM = "Apache Beam"
ROWS = "reading, decoding, writing rows"
FIGURES = "statistics, analyses, metrics"
GRAPHS = "TensorFlow: building, saving, loading graphs"
RUNNING = "TensorFlow: running graphs"
OTHER = "anything else"
CATEGORIES = (IMPORTS, BEAM, ROWS, FIGURES, GRAPHS, RUNNING, OTHER)

# What a frame, "function (file)", tells of the work. The innermost frame that a rule knows decides, by the first such rule:
# while TFMA counts a row that Beam has handed to it, that is metrics; before and after, it is Beam. So who waits for threads of
# its own is at what they do for it.
RULES = (
    (r"\((apache_beam/io|tensorflow/python/lib/io|tfx_bsl/(arrow|coders|tfxio)|pandas|pyarrow)/", ROWS),
    (r"\((tfx/)?components/example_gen/", ROWS),
    (r"\((tfx/)?components/(evaluator|example_validator|statistics_gen|transform)/", FIGURES),
    (r"\((tensorflow_data_validation|tensorflow_model_analysis|tensorflow_transform|tfx_bsl)/", FIGURES),
    (r"\(apache_beam/", BEAM),
    (r"(quick_execute|convert_to_eager_tensor) \(tensorflow/", RUNNING),
    (r"\(tensorflow/python/(client/session|ops/gen_\w+)\.py\)", RUNNING),
    (r"\((keras|tensorflow)/", GRAPHS),
)
_IMPORT = "_find_and_load (<frozen importlib._bootstrap>)"
_WAIT = re.compile(r"\((threading|selectors|multiprocessing/(forkserver|resource_tracker))\.py\)$")
# TFX calls the method Do of a node's executor. Python 3.10 names methods without their classes.
_DO = re.compile(r"(\w+\.)*Do \((tfx/)?components/(?P<package>\w+)/")
# A command may hold semicolons, so that a line cannot just be split at them. The main thread's id is the process's.
_MAIN_THREAD = re.compile(r'.*?process (?P<pid>\d+):"[^"]*";thread \((?P=pid)\)[^;]*(;(?P<frames>.*))? (?P<samples>\d+)$')


@dataclass(frozen=True)
class Stack:
    """Where a main thread stood.

    Attributes:
      frames: each "function (file)", the outermost first.
      seconds: how long, in all.
    """

    frames: tuple[str, ...]
    seconds: float

    @property
    def category(self) -> str:
        """The kind of work, one of CATEGORIES."""
        if _IMPORT in self.frames:
            return IMPORTS
        return next(filter(None, map(_category, reversed(self.frames))), OTHER)

    @property
    def waits(self) -> bool:
        """Whether nothing was done but waiting for another thread or process."""
        return bool(self.frames and _WAIT.search(self.frames[-1]))


def by_node(lines: Iterable[str], rate: int) -> dict[str, list[Stack]]:
    """Tells apart what the nodes of a run did, by the executors that stand in the stacks.

    What a process does besides its executor, such as reading the metadata store, belongs to its node where it runs one alone,
    as in Conveyor. All else is under an empty name: imports, compiling the pipeline, nodes too short to be seen. A process
    without a node that waits, waits for one that has one, so that is left out.

    Args:
      lines: as `py-spy record --idle --threads --subprocesses --format raw` writes them. Only main threads count, as their
        times add up to what a node takes.
      rate: samples a second.
    """
    processes: dict[str, dict[str, list[Stack]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if match := _MAIN_THREAD.match(line.rstrip("\n")):
            name, frames = _executor(tuple(filter(None, (match["frames"] or "").split(";"))))
            processes[match["pid"]][name].append(Stack(frames, int(match["samples"]) / rate))
    nodes: dict[str, list[Stack]] = defaultdict(list)
    for found in processes.values():
        names = [name for name in found if name]
        for name, stacks in found.items():
            if name or len(names) == 1:
                nodes[name or names[0]] += stacks
            else:
                nodes[""] += (stack for stack in stacks if names or not stack.waits)
    return dict(nodes)


def seconds_by_category(stacks: Iterable[Stack]) -> dict[str, float]:
    """How the time divides; every category is there."""
    seconds = dict.fromkeys(CATEGORIES, 0.0)
    for stack in stacks:
        seconds[stack.category] += stack.seconds
    return seconds


def total(stacks: Iterable[Stack]) -> float:
    """Seconds in all."""
    return sum(stack.seconds for stack in stacks)


def _category(frame: str) -> str | None:
    return next((category for pattern, category in RULES if re.search(pattern, frame)), None)


def _executor(frames: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The node whose executor is at work, named as TFX does (statistics_gen is StatisticsGen), and the frames from there on."""
    for index, frame in enumerate(frames):
        if match := _DO.match(frame):
            return match["package"].title().replace("_", ""), frames[index:]
    return "", frames
