"""Walks a package: the DAGs, their tasks in order, attempts at each, and what runs at the exit."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kfp.pipeline_spec.pipeline_spec_pb2 import DagSpec, PipelineSpec, PipelineTaskSpec

from tests.walker import driver, values
from tests.walker.driver import DriverError, Job, Order, Scope
from tests.walker.launcher import Launcher, LauncherError
from tests.walker.package import Component, Package, PackageError, is_exit_task, upstream_of
from tests.walker.pod import Exit, Pod, ProcessRunner, Runner
from tests.walker.results import Attempt, Run, State, TaskResult

# States in which KFP's own ML Metadata has a task or a DAG. One whose driver fails has none, and its DAG seems to run on.
_COMPLETE, _FAILED, _RUNNING, _NOTHING = "COMPLETE", "FAILED", "RUNNING", ""


def walk(
    package: Package,
    folder: Path,
    *,
    run_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    volumes: Mapping[str, Path] | None = None,
    run_pod: Runner | None = None,
    parallelism: int = 2,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> Run:
    """Runs a package to its end.

    Args:
      package: what to run.
      folder: for the files of pods and what they upload.
      run_id: the id that the API server has given the run; a new one when not given.
      parameters: of the run; the package's defaults for those that are not given.
      secrets: values by the name of the Secret and of its key.
      volumes: folders of this machine by the name of the PersistentVolumeClaim.
      run_pod: how pods are run; as processes when not given.
      parallelism: pods that may be at work at once.
      sleep: waits before a new attempt, of so many seconds.

    Returns:
      What became of it; a task that fails is not an error of the walk.

    Raises:
      PackageError: the run's parameters are not those of the package, or two tasks have one name.
    """
    given = _run_parameters(package.spec, parameters or {})
    run_id = run_id or str(uuid.uuid4())
    name = package.spec.pipeline_info.name
    job = Job(
        id=run_id,
        name=f"{name}-{run_id[:5]}",
        display_name=f"Run of {name}",
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        root=f"minio://mlpipeline/v2/artifacts/{name}/{run_id}",
    )
    walker = _Walker(
        package=package,
        job=job,
        folder=folder / run_id,
        secrets=secrets or {},
        volumes=volumes or {},
        run_pod=run_pod or ProcessRunner(),
        places=threading.Semaphore(parallelism),
        sleep=sleep,
    )
    state = walker.walk_dag(package.spec.root.dag, given, PipelineTaskSpec.RetryPolicy()).state
    return Run(run_id, state, walker.results)


def _run_parameters(spec: PipelineSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the API server makes of a run's parameters."""
    declared = spec.root.input_definitions.parameters
    if extra := set(given) - set(declared):
        raise PackageError(f"parameter(s) provided are not required by pipeline: {', '.join(sorted(extra))}")
    resolved: dict[str, Any] = {}
    for name, each in declared.items():
        if name in given:
            if not values.has_type(given[name], each.parameter_type):
                expected = values.Type.ParameterTypeEnum.Name(each.parameter_type)
                raise PackageError(f"input parameter {name} requires type {expected}, not {given[name]!r}")
            resolved[name] = values.whole(given[name])
        elif each.HasField("default_value"):
            resolved[name] = values.from_proto(each.default_value)
        elif each.is_optional:
            resolved[name] = None
        else:
            raise PackageError(f"parameter {name} is not optional, yet has neither default value nor user provided value")
    return resolved


@dataclass(frozen=True)
class _Ended:
    """How a task or a DAG ended: for Argo, and in KFP's own ML Metadata."""

    state: State
    recorded: str


@dataclass
class _Walker:
    package: Package
    job: Job
    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    volumes: Mapping[str, Path]
    run_pod: Runner
    places: threading.Semaphore
    sleep: Callable[[float], None]
    results: dict[str, TaskResult] = field(default_factory=dict)
    uploaded: dict[str, Path] = field(default_factory=dict)

    def walk_dag(self, dag: DagSpec, parameters: Mapping[str, Any], policy: PipelineTaskSpec.RetryPolicy) -> _Ended:
        """Runs the tasks of a DAG, each when all it waits for have succeeded, and none any more once one has failed."""
        hooks = {
            name: exit_task for exit_task, task in dag.tasks.items() if is_exit_task(task) for name in task.dependent_tasks
        }
        waiting = {name: upstream_of(task) for name, task in dag.tasks.items() if not is_exit_task(task)}
        ended: dict[str, _Ended] = {}
        running: set[Future[None]] = set()

        def run(name: str) -> None:
            recorded = {each: entry.recorded for each, entry in ended.copy().items()}
            ended[name] = self._run_task(name, dag.tasks[name], Scope(parameters, self.results, recorded), policy)
            if name in hooks and ended[name].recorded != _NOTHING:
                run(hooks[name])

        with ThreadPoolExecutor(max_workers=len(dag.tasks)) as pool:
            while True:
                states = {name: entry.state for name, entry in ended.copy().items()}
                if State.FAILED not in states.values():
                    for name in sorted(name for name, upstream in waiting.items() if upstream <= set(states)):
                        del waiting[name]
                        running.add(pool.submit(run, name))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        for name in sorted(set(dag.tasks) - set(ended)):
            self._omit(name, dag.tasks[name])
        if len(ended) == len(dag.tasks) and all(entry.state is State.SUCCEEDED for entry in ended.values()):
            return _Ended(State.SUCCEEDED, _COMPLETE)
        return _Ended(State.FAILED, _FAILED if any(entry.recorded == _FAILED for entry in ended.values()) else _RUNNING)

    def _run_task(self, name: str, task: PipelineTaskSpec, scope: Scope, policy: PipelineTaskSpec.RetryPolicy) -> _Ended:
        component = self.package.components[task.component_ref.name]
        policy = task.retry_policy if task.HasField("retry_policy") else policy
        try:
            if component.container is None:
                parameters = driver.resolve_parameters(name, task, component.spec, scope, self.job)
                return self.walk_dag(component.spec.dag, parameters, policy)
            order = driver.prepare(name, task, component, scope, self.job)
            template = self._pod_template(name, component)
        except DriverError as error:
            self._omit(name, task, str(error))
            return _Ended(State.FAILED, _NOTHING)
        result = self._retry(policy, lambda number: self._attempt(order, component, template(number), number))
        self._record(name, result)
        return _Ended(result.state, _COMPLETE if result.state is State.SUCCEEDED else _FAILED)

    def _retry(self, policy: PipelineTaskSpec.RetryPolicy, attempt: Callable[[int], TaskResult]) -> TaskResult:
        """Attempts a task until it succeeds or Argo gives up."""
        pods: tuple[Attempt, ...] = ()
        waited = 0.0
        while True:
            result = attempt(len(pods))
            pods += result.attempts
            delay = policy.backoff_duration.seconds * policy.backoff_factor ** (len(pods) - 1)
            seconds = waited + delay + sum(pod.ended - pod.started for pod in pods)
            if (
                result.state is State.SUCCEEDED
                or len(pods) > policy.max_retry_count
                # What KFP calls the longest backoff is, for Argo, the time that all attempts may take together.
                or seconds > policy.backoff_max_duration.seconds
            ):
                return replace(result, attempts=pods)
            self.sleep(delay)
            waited += delay

    def _attempt(self, order: Order, component: Component, pod: Pod, number: int) -> TaskResult:
        """Runs one pod and takes in what it leaves behind."""
        with self.places:
            started = time.time()
            ended = Exit(1, "")
            try:
                launcher = Launcher(
                    order,
                    component.spec,
                    attempt=number,
                    folder=pod.folder,
                    root=self.run_pod.root(pod.folder),
                    uploaded=self.uploaded,
                )
                ended = self.run_pod(replace(pod, command=launcher.command))
                parameters, artifacts = launcher.collect(ended.log, succeeded=ended.code == 0)
                problem = ""
            except LauncherError as error:
                ended, parameters, artifacts, problem = Exit(1, ended.log), {}, {}, str(error)
        self.uploaded.update({each.uri: each.file for each in artifacts.values() if each.file})
        state = State.SUCCEEDED if ended.code == 0 else State.FAILED
        return TaskResult(state, (Attempt(ended.code, ended.log, started, time.time()),), parameters, artifacts, problem)

    def _pod_template(self, name: str, component: Component) -> Callable[[int], Pod]:
        """A task's pod, but for its command and what differs between attempts.

        Raises:
          DriverError: the pod could never start.
        """
        container, platform = component.container, component.platform
        assert container is not None
        environment = {each.name: each.value for each in container.env}
        environment.update(driver.resolve_secrets(platform, self.secrets))
        mounts = driver.resolve_mounts(platform, self.volumes)

        def pod(number: int) -> Pod:
            pod_name = f"{self.job.name}-{name}-{number}"
            return Pod(
                name=pod_name,
                image=container.image,
                command=[],
                environment={**environment, "KFP_POD_NAME": pod_name, "KFP_POD_UID": str(uuid.uuid4())},
                mounts=mounts,
                user=platform.security_context.run_as_user or None,
                folder=self.folder / name / str(number),
                timeout=platform.active_deadline_seconds or None,
            )

        return pod

    def _omit(self, name: str, task: PipelineTaskSpec, problem: str = "") -> None:
        """Records a task, or all tasks of a DAG, as never started; with a problem, as failed in its driver."""
        component = self.package.components[task.component_ref.name]
        if component.container is not None:
            self._record(name, TaskResult(State.FAILED if problem else State.OMITTED, problem=problem))
        for inner, inner_task in sorted(component.spec.dag.tasks.items()):
            self._omit(inner, inner_task, problem)

    def _record(self, name: str, result: TaskResult) -> None:
        if name in self.results:
            raise PackageError(f"two tasks are called {name!r}, and the walker tells tasks by their names")
        self.results[name] = result
