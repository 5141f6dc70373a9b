"""Runs a pipeline on this machine: nodes as soon as what they wait for is done, side by side, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipeline.errors import ConveyorError, NodeError, StorageError, UsageError
from pipeline.local import unchanged, worker
from pipeline.local.worker import Compiled, PipelineFactory
from pipeline.runs import database
from pipeline.runs.outcomes import LOCK_NAME, mark_interrupted
from pipeline.runs.provenance import Provenance
from pipeline.runs.status import DamagedRunError, NodeOutcome, NodeState, Problem, RunOutcome, RunState
from pipeline.util import disk
from pipeline.util.notes import read_notes
from pipeline.util.stderr import stderr_to

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.config import PipelineConfig
    from pipeline.util.manifests import Thoroughness

Observer = Callable[[RunOutcome], None]

_HEARTBEAT_SECONDS = 0.2
_SECONDS_TO_LOCK = 0.5
# TensorFlow's start-up chatter says nothing about the run; its warnings and errors do. Threads of NumPy's and SciPy's OpenBLAS
# wait for each other actively, for longer than they work, and the sums that they make depend on the number of cores.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


class _Job:
    """A process at work, and the pipe on which it answers."""

    def __init__(self, title: str, log: Path, work: Callable[..., Any], *arguments: Any) -> None:
        self.title, self.log = title, log
        self.peak_bytes: int | None = None
        context = multiprocessing.get_context("forkserver")
        self.answers: Connection
        self.answers, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=worker.enter, args=(theirs, log, title, work, arguments), name=title, daemon=True
        )
        with _without_main():
            self.process.start()
        theirs.close()

    def answer(self) -> tuple[Any, Problem | None]:
        """Waits for the process to end; returns what it returned, or the problem that it ended with."""
        value: Any = None
        try:
            value, problem, self.peak_bytes = self.answers.recv()
        except EOFError:
            self.process.join()
            problem = Problem.of(_sudden_end(self))
        self.process.join()
        # A process of the fork server ends without its exit functions, by which Beam stops a job server that it started.
        self.kill()
        return value, problem

    def kill(self) -> None:
        """Ends the process and those it started: it leads a process group of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.join()


@contextmanager
def _without_main() -> Iterator[None]:
    """A context in which processes start without the main module: they do not need it, and a script would run again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _sudden_end(job: _Job) -> ConveyorError:
    code = job.process.exitcode or 0
    seen = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
    # Among others a file mapped into memory, which the system cannot write, ends a process without a word.
    if disk.is_full(job.log.parent):
        return disk.full_disk(job.title, job.log.parent, seen)
    memory = code == -signal.SIGKILL
    return NodeError(
        f"{job.title} ended without an answer.",
        where=job.title,
        seen=seen + (" (so the system does when memory runs out)" if memory else ""),
        fix=f"Its output is in {job.log}." + (" Fewer rows or fewer execution.workers need less memory." if memory else ""),
    )


def run_pipeline(
    config: PipelineConfig,
    factory: PipelineFactory,
    *,
    name: str,
    from_nodes: tuple[str, ...] = (),
    to_nodes: tuple[str, ...] = (),
    observer: Observer = lambda outcome: None,
    fingerprint: Callable[[], str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> RunOutcome:
    """Runs a pipeline to its end or to its first failure.

    Args:
      config: where the workspace is and how many nodes may run side by side.
      factory: the pipeline.
      name: the pipeline's name; one run of a pipeline is at work at a time.
      from_nodes: nodes at which a partial run starts.
      to_nodes: nodes at which a partial run ends.
      observer: called with the outcome so far after each change and several times a second.
      fingerprint: computes a digest of all that decides what a whole run makes, but data and metadata store; empty when it
        cannot be computed. If it equals the last run's and nothing else has changed, no node is started. None: every node
        is started, and looks into the cache itself.
      check: raises a ConveyorError if the run cannot come to a good end; called before any node is started, unless nothing has
        changed. A run that it refuses leaves no trace.

    Returns:
      The outcome; a node's error is in it, not raised. It stands in the run's folder too.

    Raises:
      ConfigError: CONVEYOR_METADATA does not name a database.
      UsageError: a node of a partial run does not exist, or no earlier run has the outputs it needs; the configuration names
        something that cannot be read. Such a run leaves no trace.
      StorageError: another run of this pipeline is at work, or the workspace cannot be written to.
      KeyboardInterrupt: the run was interrupted; nodes that were at work are ended first.
    """
    connection = database.connection(config)
    runs = config.workspace_path / "runs" / name
    with run_lock(runs):
        damaged = mark_interrupted(runs)
        # Who holds the run lock of this workspace is alone in its SQLite file. In any other database, others may be at work.
        is_alone = connection == database.sqlite(config.metadata_path)
        folder = _new_folder(runs, is_alone)
        warnings = [_left_aside(error) for error in damaged]
        outcome = RunOutcome(
            run_id=folder.name,
            pipeline=name,
            config=config.effective(),
            provenance=Provenance.here(config.workspace_path),
            warnings=warnings,
        )
        run = _Run(outcome, folder, connection, is_alone, observer, check, config.execution.verify)
        try:
            run.publish()
            if from_nodes or to_nodes or fingerprint is None:
                run.execute(factory, from_nodes, to_nodes, config.execution.workers)
            else:
                run.execute_changes(factory, config.execution.workers, fingerprint)
        except BaseException:
            run.break_off()
            raise
        return outcome


class _Run:
    def __init__(
        self,
        outcome: RunOutcome,
        folder: Path,
        connection: metadata_store_pb2.ConnectionConfig,
        is_alone: bool,
        observer: Observer,
        check: Callable[[], None],
        verify: Thoroughness,
    ) -> None:
        self.outcome, self.folder, self.connection, self.observer = outcome, folder, connection, observer
        self.is_alone, self.check, self.verify = is_alone, check, verify
        self.jobs: dict[str, _Job] = {}
        self.is_removed = False

    def execute_changes(self, factory: PipelineFactory, workers: int, fingerprint: Callable[[], str]) -> None:
        """Executes the whole pipeline, unless nothing has changed since the last run."""
        before = fingerprint()
        if self.repeat(before):
            return
        self.execute(factory, (), (), workers)
        # A run during which something was edited gets none: it is not known which nodes saw the edit.
        if self.outcome.state is RunState.COMPLETE and before == fingerprint():
            self.outcome.fingerprint = before
            self.publish()

    def repeat(self, fingerprint: str) -> bool:
        """Records the run without running anything, if nothing has changed; returns whether it did."""
        outcome = self.outcome
        try:
            outcome.nodes = unchanged.repeat(
                self.connection, self.folder.parent, outcome.pipeline, outcome.run_id, fingerprint, self.verify
            )
        except unchanged.ChangedError as reason:
            (self.folder / "startup.log").write_text(f"Not recorded as unchanged: {reason}.\n")
            return False
        outcome.fingerprint = fingerprint
        self.finish(RunState.COMPLETE)
        return True

    def execute(self, factory: PipelineFactory, from_nodes: tuple[str, ...], to_nodes: tuple[str, ...], workers: int) -> None:
        # Its imports take seconds, in which the data is checked.
        _start_fork_server(self.folder / "startup.log")
        try:
            self.check()
        except ConveyorError:
            self.remove()
            raise
        job = _Job(
            "The pipeline",
            self.folder / "compile.log",
            partial(worker.compile_pipeline, is_alone=self.is_alone),
            *(factory, self.connection, self.outcome.run_id, from_nodes, to_nodes),
        )
        self.jobs[job.title] = job
        while not job.answers.poll(_HEARTBEAT_SECONDS):
            self.observer(self.outcome)
        compiled: Compiled
        compiled, self.outcome.problem = self.jobs.pop(job.title).answer()
        if self.outcome.problem:
            self.refuse(self.outcome.problem)
            return
        for node_id, upstream in compiled.upstream.items():
            state = NodeState.SKIPPED if node_id in compiled.skipped else NodeState.WAITING
            self.outcome.nodes[node_id] = NodeOutcome(upstream=upstream, state=state)
        while self.step(compiled, workers):
            pass
        self.finish(RunState.FAILED if self.outcome.problem else RunState.COMPLETE)

    def step(self, compiled: Compiled, workers: int) -> bool:
        """Starts what can be started and takes in what has ended; returns whether there is more to do."""
        for node_id, node in self.outcome.nodes.items():
            if len(self.jobs) < workers and node.state is NodeState.WAITING and self.is_ready(node):
                node.state, node.started = NodeState.RUNNING, time.time()
                log = self.folder / f"{node_id}.log"
                self.jobs[node_id] = _Job(node_id, log, worker.run_node, compiled, node_id, self.verify)
                self.publish()
        if not self.jobs:
            return False
        ended = wait([job.answers for job in self.jobs.values()], timeout=_HEARTBEAT_SECONDS)
        for node_id in [node_id for node_id, job in self.jobs.items() if job.answers in ended]:
            self.take_in(node_id, self.jobs.pop(node_id))
        self.observer(self.outcome)
        return self.outcome.problem is None

    def is_ready(self, node: NodeOutcome) -> bool:
        return all(self.outcome.nodes[upstream].state.is_done for upstream in node.upstream)

    def take_in(self, node_id: str, job: _Job) -> None:
        node = self.outcome.nodes[node_id]
        state, node.problem = job.answer()
        node.state = state or NodeState.FAILED
        node.notes, node.peak_bytes = read_notes(job.log), job.peak_bytes
        self.outcome.problem = self.outcome.problem or node.problem
        node.ended = time.time()
        self.publish()

    def refuse(self, problem: Problem) -> None:
        """Ends a run that has no node to start. If the command was wrong, such as a node's name, there never was a run."""
        if problem.exit_code != UsageError.exit_code:
            self.finish(RunState.FAILED)
            return
        self.remove()
        raise problem.as_error()

    def remove(self) -> None:
        """Removes the run, which then was none."""
        self.is_removed = True
        # The fork server has a file in it open, which some network volumes do not let go.
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, state: RunState) -> None:
        """Ends the running nodes and records the last state of each."""
        for job in self.jobs.values():
            job.kill()
        self.outcome.state, self.outcome.ended = state, time.time()
        self.outcome.settle()
        self.publish()

    def break_off(self) -> None:
        """Ends a run that cannot go on: what is at work, and its outcome as far as disk and terminal take it."""
        for job in self.jobs.values():
            job.kill()
        if self.is_removed or self.outcome.state is not RunState.RUNNING:
            return
        self.outcome.state, self.outcome.ended = RunState.INTERRUPTED, time.time()
        self.outcome.settle()
        with suppress(OSError):
            self.outcome.save(self.folder)
        with suppress(OSError):
            self.observer(self.outcome)

    def publish(self) -> None:
        self.outcome.save(self.folder)
        self.observer(self.outcome)


def _left_aside(error: DamagedRunError) -> str:
    return f"{error.what} Its file is left aside: {error.where} ({error.seen})."


@contextmanager
def run_lock(runs: Path) -> Iterator[None]:
    """Keeps runs of a pipeline from starting.

    Args:
      runs: the folder of its runs.

    Raises:
      StorageError: a run is at work, or the folder cannot be written to.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        lock = FileLock(runs / LOCK_NAME)
        # Not at once: others look for a moment whether it is locked.
        lock.acquire(timeout=_SECONDS_TO_LOCK)
    except Timeout:
        raise StorageError(
            f"Another run of {runs.name} is at work.",
            where=str(runs),
            expected="one run of a pipeline at a time: they share a cache and a serving folder",
            fix="Wait for it to end, or name another workspace: --set workspace=FOLDER",
        ) from None
    except OSError as error:
        where = str(error.filename or runs)
        if disk.says_full(error):
            raise disk.full_disk("The run", where, os.strerror(error.errno or 0)) from error
        raise StorageError(
            "The workspace cannot be written to.",
            where=where,
            expected="a folder in which this user may create files",
            seen=os.strerror(error.errno or 0),
            fix="Correct its permissions, or name another workspace: --set workspace=FOLDER",
        ) from error
    try:
        yield
    except OSError as error:
        if disk.says_full(error):
            raise disk.full_disk("The run", error.filename or runs, os.strerror(error.errno or 0)) from error
        raise
    finally:
        lock.release()


def _new_folder(runs: Path, is_alone: bool) -> Path:
    """A folder for a new run, named by the time. ML Metadata knows runs by name alone, so no other pipeline may have it.

    Args:
      runs: the folder of the pipeline's runs.
      is_alone: whether runs of this workspace alone are in the metadata database: others may begin in the same second.
    """
    stem = time.strftime("%Y%m%d-%H%M%S") + ("" if is_alone else f"-{secrets.token_hex(2)}")
    with FileLock(runs.parent / LOCK_NAME):
        for name in (stem, *(f"{stem}-{number}" for number in range(2, 100))):
            if not any(runs.parent.glob(f"*/{name}")):
                (runs / name).mkdir()
                return runs / name
    raise StorageError("A hundred runs started within one second.", where=str(runs), fix="Run again.")


def _start_fork_server(log: Path) -> None:
    """Starts the fork server, with the shared imports; what they print on the way goes to `log`.

    The server keeps the environment in which it starts, and hands it to the nodes' processes; this process gets its own back.
    """
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    multiprocessing.set_forkserver_preload(["pipeline.local.preload"])
    os.environ.update(added)
    try:
        with _without_main(), log.open("ab") as file, stderr_to(file):
            forkserver.ensure_running()
    finally:
        for name in added:
            os.environ.pop(name, None)
