"""Pods: what one is to run, and a way to run it as a process on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

IMAGE_ENVIRONMENT = {
    "LOGNAME": "conveyor",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""What the task image sets, but for the place of the code."""

_GRACE_SECONDS = 30
"""Between SIGTERM and SIGKILL, as Kubernetes has it by default."""


@dataclass(frozen=True)
class Pod:
    """What a pod is to run.

    Attributes:
      name: of the pod.
      image: of its container.
      command: with every placeholder filled in.
      environment: variables from the container spec and from secrets.
      mounts: folders of this machine by the path that the pod sees them at.
      user: user id of the process; None: that of the image.
      folder: the pod's own files, gone with it in a cluster: `/tmp` and the object store's `/minio` in it.
      timeout: seconds after which it is ended; None: never.
    """

    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    mounts: dict[str, Path]
    user: int | None
    folder: Path
    timeout: int | None


@dataclass(frozen=True)
class Exit:
    """How a pod ended: the exit code (128 and the signal's number, where one ended it) and all it printed."""

    code: int
    log: str


class Runner(Protocol):
    """Runs pods."""

    def root(self, folder: Path) -> str:
        """Where a pod sees `folder`, its own files: empty when they are at /."""
        ...

    def __call__(self, pod: Pod) -> Exit:
        """Runs a pod to its end."""
        ...


@dataclass(frozen=True)
class ProcessRunner:
    """Runs a pod as a process with this Python, in a folder of its own, as this user.

    A process sees this machine's files, so what is mounted in the pod must be at the same path here.

    Attributes:
      environment: what the image would set.
      on_start: called with the pod and its process, once it has started.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    on_start: Callable[[Pod, subprocess.Popen[bytes]], None] = lambda pod, process: None

    def root(self, folder: Path) -> str:
        """The folder itself."""
        return str(folder)

    def __call__(self, pod: Pod) -> Exit:
        """Runs a pod to its end.

        Raises:
          ValueError: a mount is somewhere else on this machine.
        """
        for path, source in pod.mounts.items():
            if not Path(path).is_dir() or not Path(path).samefile(source):
                raise ValueError(f"{pod.name}: a process cannot see {source} at {path}")
        log = pod.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable if pod.command[0] in ("python", "python3") else pod.command[0], *pod.command[1:]],
                cwd=pod.folder,
                env=self._environment(pod),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self.on_start(pod, process)
                process.wait(pod.timeout)
            except subprocess.TimeoutExpired:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        code = process.returncode
        return Exit(code if code >= 0 else 128 - code, log.read_text(errors="replace"))

    def _environment(self, pod: Pod) -> dict[str, str]:
        """Nothing of this process's own, as in a pod."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        machine = {"PATH": path, "HOME": str(pod.folder), "TMPDIR": str(pod.folder / "tmp"), "LANG": "C.UTF-8"}
        return {**machine, **self.environment, **pod.environment}
