"""How long a run would take on a cluster: what its pods worked when the walker ran them, and what Kubeflow was seen to add.

The waits are those of a real backend on one machine of two cores (`tests/fakes/kfp_records`). Not modelled: pods that wait for
room, several pods that start at once, and a machine that is faster or slower than this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import mean
from typing import Any

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineTaskSpec

from tests.fakes.kfp_records import record  # type: ignore[attr-defined] # mypy takes it for the folder of that name
from tests.walker.package import Package, is_exit_task, upstream_of
from tests.walker.results import Run

LAUNCHER = 3.0
"""Seconds of Kubeflow's launcher before and after a task's process, in the same container: 2 to 4 were seen."""

_STEP = "workflows.argoproj.io/node-name"
# A pod that takes longer to start has waited for room.
_LONGEST_START = 10.0


@dataclass(frozen=True)
class Waits:
    """Seconds that Kubeflow adds, in the mean.

    Attributes:
      root: from the start of a run until its root driver has ended and Argo has seen it.
      driver: the same of any other driver.
      start: from the making of a pod to the start of its main container.
      end: from the end of the main container to the next step.
    """

    root: float
    driver: float
    start: float
    end: float

    @classmethod
    def recorded(cls, name: str) -> Waits:
        """The waits in a recorded run.

        Args:
          name: of the record: `refused` has Argo's DEFAULT_REQUEUE_TIME at 2 seconds, `complete` at its default of 10.
        """
        found = record(name)
        pods = sorted(found.pods, key=_made)
        steps = {pod["metadata"]["annotations"][_STEP]: pod for pod in pods}
        root = next(pod for name, pod in steps.items() if name.endswith("root-driver"))
        drivers = [pod for name, pod in steps.items() if name.endswith("-driver") and pod is not root]
        executors = [pod for name, pod in steps.items() if ".executor" in name]
        moments = [*map(_made, pods), _seconds(found.run["finished_at"])]

        def next_step(after: float) -> float:
            return min(moment for moment in moments if moment > after)

        starts = [_main(pod, "startedAt") - _made(pod) for pod in executors]
        return cls(
            root=next_step(_main(root, "finishedAt")) - _made(root),
            driver=mean(next_step(_main(pod, "finishedAt")) - _made(pod) for pod in drivers),
            start=mean(start for start in starts if start < _LONGEST_START),
            # After one that failed, Argo waits before it tries again.
            end=mean(
                next_step(ended) - ended
                for pod in executors
                if pod["status"]["phase"] == "Succeeded"
                for ended in (_main(pod, "finishedAt"),)
            ),
        )


@dataclass(frozen=True)
class Span:
    """When a task would begin and end on a cluster, in seconds since the start of the run; `worked` is its processes' part."""

    task: str
    begin: float
    end: float
    worked: float


def modelled(package: Package, run: Run, waits: Waits) -> list[Span]:
    """The tasks of a run as a cluster would have run them, in the order in which they end; the last one ends the run.

    Args:
      package: the package that was walked.
      run: what became of it.
      waits: what Kubeflow adds.
    """
    tasks = dict(_container_tasks(package))
    ended: dict[str, Span] = {}
    # The driver of the root, and that of the DAG with all tasks but the exit task.
    start = waits.root + waits.driver
    for name, result in run.tasks.items():
        upstream = set(ended) if is_exit_task(tasks[name]) else upstream_of(tasks[name]) & set(ended)
        begin = max((ended[other].end for other in upstream), default=start)
        worked = sum(attempt.ended - attempt.started for attempt in result.attempts)
        pods = len(result.attempts) * (waits.start + LAUNCHER + waits.end)
        ended[name] = Span(name, begin, begin + waits.driver + worked + pods, worked)
    return sorted(ended.values(), key=lambda span: span.end)


def total(package: Package, run: Run, waits: Waits) -> float:
    """The seconds that a run would take on a cluster."""
    return modelled(package, run, waits)[-1].end


def _container_tasks(package: Package) -> Iterator[tuple[str, PipelineTaskSpec]]:
    for dag in package.dags():
        yield from ((name, task) for name, task in dag.tasks.items() if package.components[task.component_ref.name].container)


def _made(pod: Mapping[str, Any]) -> float:
    return _seconds(pod["metadata"]["creationTimestamp"])


def _main(pod: Mapping[str, Any], moment: str) -> float:
    (main,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == "main")
    return _seconds(main["state"]["terminated"][moment])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
