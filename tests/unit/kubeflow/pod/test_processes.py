"""The processes of a pod: what the first one does without, and what becomes of those that nodes run in."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.kubeflow.pod import entrypoint, processes
from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.payload import Payload
from pipeline.runs.status import NodeOutcome, NodeState
from tests.fakes.waiting import PATIENCE, wait_until

NOT_IMPORTED = (
    "apache_beam",
    "keras",
    "kfp",
    "lightgbm",
    "pandas",
    "scipy",
    "sklearn",
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tensorflow_transform",
)
LIGHT = """
import importlib, sys
from pipeline.kubeflow.pod import entrypoint, finish, processes
processes.do_without_heavy_packages()
from pipeline.kubeflow.pod import postponed
from pipeline.runs import execute, resume
from pipeline.report import read_run_details, write_report
from pipeline.report.read.protos import tfma_protos
tfma_protos("validation_result_pb2")
import components.example_gen.driver, components.resolvers
for path in postponed.LIGHT_EXECUTORS:
    module, _, name = path.rpartition(".")
    getattr(importlib.import_module(module), name)
print([name for name in {names!r} if sys.modules.get(name)])
"""


def test_a_pod_of_light_nodes_does_not_import_what_takes_seconds() -> None:
    program = LIGHT.format(names=NOT_IMPORTED)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("node_ids", "expected"),
    [
        ([nodes.RESOLVER.id], True),
        ([nodes.LATEST_HYPERPARAMETERS.id], True),
        ([nodes.SCHEMA_GEN.id], True),
        ([nodes.TRAINER.id], False),
        (["MyNode"], False),
        ([nodes.EXAMPLE_GEN.id, nodes.TRAINER.id], True),
    ],
)
def test_pods_that_may_have_no_work_to_do_start_without_tensorflow(node_ids: list[str], expected: bool) -> None:
    assert entrypoint.may_start_light(node_ids) is expected


def test_a_pod_goes_on_as_another_program(tmp_path: Path) -> None:
    (tmp_path / "second.py").write_text("import os, sys; print(os.getpid(), *sys.argv[1:])")
    program = (
        "import os; from pipeline.kubeflow.pod.processes import start_again; print(os.getpid()); start_again('second', ['a b'])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}:{Path.cwd()}"}

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)

    first, second = done.stdout.splitlines()
    assert second == f"{first} a b"


def fail() -> int:
    raise MemoryError


def be_killed() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.mark.parametrize(
    ("work", "code"), [(lambda: 0, 0), (lambda: 3, 3), (fail, 1), (be_killed, -signal.SIGKILL), (lambda: sys.exit(143), 143)]
)
def test_a_process_of_its_own_ends_with_what_its_work_came_to(work, code, capfd) -> None:
    assert processes.run_apart(work) == code


def test_a_signal_reaches_the_process_that_works(tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"

    def work() -> int:
        signal.signal(signal.SIGTERM, processes.exit_on_signal)
        started.touch()
        try:
            threading.Event().wait(PATIENCE)
        finally:
            ended.touch()
        return 0

    def end_once_it_works() -> None:
        wait_until(started.exists, "the work")
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, processes.exit_on_signal)
    try:
        thread = threading.Thread(target=end_once_it_works)
        thread.start()
        with pytest.raises(SystemExit) as raised:
            processes.run_apart(work)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert raised.value.code == 128 + signal.SIGTERM
    assert ended.exists()


def test_a_signal_that_comes_while_it_forks_ends_the_child_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork
    children = []

    def fork_and_be_ended() -> int:
        child = fork()
        if child:
            children.append(child)
            another = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
            # As one that was there before: this one has inherited the mask.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            another.start()
            another.join()
        return child

    monkeypatch.setattr(os, "fork", fork_and_be_ended)
    before = signal.signal(signal.SIGTERM, processes.exit_on_signal)
    began = time.monotonic()
    try:
        with pytest.raises(SystemExit) as raised:
            processes.run_apart(lambda: threading.Event().wait(PATIENCE) or 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised.value.code == 128 + signal.SIGTERM
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], 0)
    assert time.monotonic() - began < PATIENCE


def test_what_is_to_be_done_at_the_end_of_a_process_is_done_there_alone(tmp_path: Path) -> None:
    def leave(name: str) -> None:
        (tmp_path / f"{name}-{os.getpid()}").touch()

    def work() -> int:
        atexit.register(leave, "child")
        return 0

    atexit.register(leave, "parent")
    try:
        assert processes.run_apart(work) == 0
    finally:
        atexit.unregister(leave)

    (left,) = tmp_path.iterdir()
    assert left.name.startswith("child-")
    assert left.name != f"child-{os.getpid()}"


def test_a_signal_that_another_thread_gets_ends_the_wait(tmp_path: Path) -> None:
    started = tmp_path / "started"

    def work() -> int:
        started.touch()
        return threading.Event().wait(2 * PATIENCE) or 0

    def end_once_it_waits() -> None:
        wait_until(started.exists, "the work")
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, processes.exit_on_signal)
    thread = threading.Thread(target=end_once_it_waits)
    began = time.monotonic()
    try:
        thread.start()
        with pytest.raises(SystemExit) as raised:
            processes.run_apart(work)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised.value.code == 128 + signal.SIGTERM
    assert time.monotonic() - began < PATIENCE


def test_a_signal_after_the_end_ends_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = os.waitpid

    def wait_and_be_ended(child: int, options: int) -> tuple[int, int]:
        ended, status = wait(child, options)
        if ended:
            os.kill(os.getpid(), signal.SIGTERM)
        return ended, status

    monkeypatch.setattr(os, "waitpid", wait_and_be_ended)
    before = signal.signal(signal.SIGTERM, processes.exit_on_signal)
    try:
        with pytest.raises(SystemExit) as raised:
            processes.run_apart(lambda: 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised.value.code == 128 + signal.SIGTERM


def test_a_node_whose_process_is_killed_has_failed_for_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PipelineConfig(name="tiny", label="y", workspace=str(tmp_path), data={"input": str(tmp_path / "rows.csv")})
    pod = Pod(Payload(b"", config, ""), {}, "run-1", {})

    def run(pod: Pod, ir: object, node_id: str) -> None:
        pod.keep(node_id, NodeOutcome(state=NodeState.RUNNING))
        be_killed()

    monkeypatch.setattr(entrypoint, "_run", run)
    problem = entrypoint._run_apart(pod, None, "Trainer")

    assert problem is not None
    assert (problem.where, problem.seen) == ("Trainer", "killed by SIGKILL, as the system does when memory runs out")
    assert problem.fix == "Give it more memory, in a pod of its own: kubeflow.nodes.Trainer.memory_limit"
    kept = pod.kept("Trainer")
    assert kept is not None
    assert kept.state is NodeState.FAILED
    assert kept.problem is not None
    assert kept.problem.what == "Trainer ended without a word."


def test_an_outcome_that_is_not_what_was_kept_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = PipelineConfig(name="tiny", label="y", workspace=str(tmp_path), data={"input": str(tmp_path / "rows.csv")})
    pod = Pod(Payload(b"", config, ""), {}, "run-1", {})
    pod.keep("Trainer", NodeOutcome(state=NodeState.FAILED, started=1.0))
    path = pod.outcome_path("Trainer")
    path.write_text(path.read_text().replace('"failed"', '"cached"'))
    assert pod.kept("Trainer") is None
    assert f"{path} is not what was written" in capsys.readouterr().out
