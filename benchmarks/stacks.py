"""Stacks sampled by py-spy: the node that each belongs to, and the category of its work."""

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

# The category of a frame, "function (file)". The innermost frame that matches a rule decides, by the first rule it matches:
# while TFMA counts a row that Beam passed to it, the category is metrics; before and after that, it is Beam. Waiting for a
# library's own threads therefore counts as that library's work.
RULES = (
    (r"\((apache_beam/io|tensorflow/python/lib/io|tfx_bsl/(arrow|coders|tfxio)|pandas|pyarrow)/", ROWS),
    (r"\((tfx/)?components/(example_gen|shared/examples)/", ROWS),
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
# A command may contain semicolons, so a line cannot simply be split at them. The main thread has the id of its process.
_MAIN_THREAD = re.compile(r'.*?process (?P<pid>\d+):"[^"]*";thread \((?P=pid)\)[^;]*(;(?P<frames>.*))? (?P<samples>\d+)$')


@dataclass(frozen=True)
class Stack:
    """A call stack of a main thread.

    Attributes:
      frames: the stack's frames as "function (file)", the outermost first.
      seconds: the total time with this stack.
    """

    frames: tuple[str, ...]
    seconds: float

    @property
    def category(self) -> str:
        """The category of the work, one of CATEGORIES."""
        if _IMPORT in self.frames:
            return IMPORTS
        return next(filter(None, map(_category, reversed(self.frames))), OTHER)

    @property
    def waits(self) -> bool:
        """Whether the thread only waited for another thread or process."""
        return bool(self.frames and _WAIT.search(self.frames[-1]))


def by_node(lines: Iterable[str], rate: int) -> dict[str, list[Stack]]:
    """The stacks of each node in a run, found by the executors in the stacks.

    If a process runs a single node, as in Conveyor, everything else that it does, such as reading the metadata store, belongs
    to that node too. All other work has an empty name: imports, compiling the pipeline, and nodes too short to be sampled.
    Waiting in a process without a node is left out, because it waits for one that has a node.

    Args:
      lines: the output of `py-spy record --idle --threads --subprocesses --format raw`. Only main threads count, because
        their times add up to the duration of a node.
      rate: samples per second.
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
    """The seconds of every category, 0.0 for those that do not occur."""
    seconds = dict.fromkeys(CATEGORIES, 0.0)
    for stack in stacks:
        seconds[stack.category] += stack.seconds
    return seconds


def total(stacks: Iterable[Stack]) -> float:
    """The total seconds."""
    return sum(stack.seconds for stack in stacks)


def _category(frame: str) -> str | None:
    return next((category for pattern, category in RULES if re.search(pattern, frame)), None)


def _executor(frames: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The node whose executor runs, by TFX's name (StatisticsGen for statistics_gen), and the frames from the executor on."""
    for index, frame in enumerate(frames):
        if match := _DO.match(frame):
            return match["package"].title().replace("_", ""), frames[index:]
    return "", frames
