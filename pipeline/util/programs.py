"""The programs that Conveyor calls by name (docker, git, kind, kubectl): whether they can be used, and how they are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import IO

from packaging.version import Version
from rich.console import Console
from rich.text import Text

from pipeline.errors import ConveyorError, UsageError

READ_SECONDS = 60.0
"""The maximum number of seconds for a program that changes nothing."""

_TAIL_LINES = 12
_VERSION_SECONDS = 10.0
_GRACE_SECONDS = 10.0
_MISSING = "not on the path"
# kubectl's own log, such as "E1121 06:53:13.221641   28704 memcache.go:265]": the same again in more words.
_KLOG = re.compile(r"[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+ ")
# What helps, by what the program wrote on its standard error.
_KNOWN_FIXES = {
    "was refused": "The cluster does not answer. For the local one: conveyor cluster up",
    "no such host": "The cluster's address is not known here: check the network, or kubectl config view",
    "i/o timeout": "The cluster does not answer: check the network or the VPN",
    "context deadline exceeded": "The server that it asked does not answer: check the network or the VPN",
    "context": "Name a context of `kubectl config get-contexts` in kubeflow.context, or: conveyor cluster up",
    "Cannot connect to the Docker daemon": "Run: sudo systemctl start docker",
    "You must be logged in": "Log in to the cluster again: its credentials have expired",
    "forbidden": "Ask the cluster's administrator for the right that is named above",
}


@dataclass(frozen=True)
class Program:
    """A program that Conveyor calls by name.

    Attributes:
      minimum: the oldest version that is supported.
      version_arguments: the arguments with which it prints its version.
      installation: how to install it.
    """

    minimum: str
    version_arguments: tuple[str, ...]
    installation: str


# The cluster's node image (manifests/kind) is made for kind 0.32 and runs Kubernetes 1.33, which kubectl may be one minor
# version away from. kubectl fetches Kubeflow's own manifests with git.
PROGRAMS = {
    "docker": Program("20.10", ("version", "--format", "{{.Server.Version}}"), "sudo apt-get install docker.io"),
    "git": Program("2.0", ("version",), "sudo apt-get install git"),
    "kind": Program(
        "0.32",
        ("version",),
        "go install sigs.k8s.io/kind@v0.32.0, or as in https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    ),
    "kubectl": Program(
        "1.32",
        ("version", "--client"),
        "sudo snap install kubectl --classic, or as in https://kubernetes.io/docs/tasks/tools/#kubectl",
    ),
}
"""The programs that clusters and images are made with."""


@dataclass(frozen=True)
class Prerequisite:
    """Something that Conveyor needs on this machine, and whether it is there.

    Attributes:
      name: a short name, such as `docker` or `memory`.
      ok: whether it is there and sufficient.
      seen: what was found.
      fix: the command that provides it; empty when it is there.
    """

    name: str
    ok: bool
    seen: str
    fix: str = ""


class ProgramError(ConveyorError):
    """A program ended with an error, or did not end in time."""

    headline = "A program failed"

    @property
    def stderr(self) -> str:
        """The last lines of its standard error."""
        return self.seen


def check_program(name: str) -> Prerequisite:
    """Whether a program is installed, works, and has a version that Conveyor supports.

    Args:
      name: one of the keys of `PROGRAMS`.
    """
    program = PROGRAMS[name]
    if not shutil.which(name):
        return Prerequisite(name, False, _MISSING, fix=program.installation)
    try:
        answer = read(name, *program.version_arguments, timeout=_VERSION_SECONDS)
    except (ProgramError, OSError) as error:
        complaint = (error.stderr.splitlines() or [error.what])[-1] if isinstance(error, ProgramError) else str(error)
        return Prerequisite(name, False, complaint, fix=_repair(name, complaint))
    number = re.search(r"\d+\.\d+(\.\d+)?", answer)
    if number is None:
        return Prerequisite(name, False, f"no version in its answer: {answer[:80]!r}", fix=program.installation)
    if Version(number[0]) < Version(program.minimum):
        return Prerequisite(name, False, f"{number[0]}, which is older than {program.minimum}", fix=program.installation)
    return Prerequisite(name, True, f"{'engine ' if name == 'docker' else ''}{number[0]}")


def require_programs(*names: str) -> None:
    """Makes sure that programs are installed, work, and have a supported version.

    Args:
      names: some of `docker` (with an engine that answers), `git`, `kind` and `kubectl`.

    Raises:
      UsageError: one cannot be used; the error says how to install it.
    """
    for name in names:
        program = check_program(name)
        if not program.ok:
            raise UsageError(
                f"{name} cannot be used.",
                where=os.environ.get("PATH", "") if program.seen == _MISSING else "",
                expected=f"{name} {PROGRAMS[name].minimum} or newer",
                seen=program.seen,
                fix=f"Run: {program.fix}",
            )


def run(
    program: str,
    *arguments: str,
    console: Console,
    input: str | None = None,
    timeout: float | None = None,
    fix: str = "",
) -> None:
    """Runs a program, showing the command line first and then its output, line by line.

    Args:
      program: its name on the path.
      arguments: its arguments, without secrets: they are shown. Secrets go into `input`.
      console: where the command line and the output are shown.
      input: its standard input; empty when not given.
      timeout: seconds after which it is ended; never when not given.
      fix: what the user can do when it fails.

    Raises:
      ProgramError: it failed, or took too long.
      UsageError: it is not installed.
    """
    command = [program, *arguments]
    console.print(Text(f"$ {shlex.join(command)}", style="dim"), soft_wrap=True)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with started(command, gets_input=input is not None) as process:
        readers = [
            Thread(target=_show, args=(process.stdout, console, None), daemon=True),
            Thread(target=_show, args=(process.stderr, console, tail), daemon=True),
        ]
        for reader in readers:
            reader.start()
        if input is not None and process.stdin is not None:
            _feed(process.stdin, input)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise _too_slow(command, timeout, "\n".join(tail), fix) from None
        for reader in readers:
            # A grandchild may keep the pipe open; its output is not waited for.
            reader.join(_GRACE_SECONDS)
    if status != 0:
        raise failure(command, status, "\n".join(tail), fix)


def read(program: str, *arguments: str, timeout: float = READ_SECONDS, input: str | None = None) -> str:
    """Runs a program that changes nothing, shows nothing, and returns its standard output.

    Args:
      program: its name on the path.
      arguments: its arguments.
      timeout: seconds after which it is ended.
      input: its standard input; empty when not given.

    Raises:
      ProgramError: it failed, or took too long.
      UsageError: it is not installed.
    """
    command = [program, *arguments]
    with started(command, gets_input=input is not None) as process:
        try:
            answer, errors = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise _too_slow(command, timeout) from None
    if process.returncode != 0:
        raise failure(command, process.returncode, errors)
    return answer


@contextmanager
def started(command: Sequence[str], *, gets_input: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Starts a program, which is ended at the latest when the block is left.

    Args:
      command: the program and its arguments.
      gets_input: whether the caller writes to its standard input.

    Raises:
      UsageError: it is one of `PROGRAMS`, and is not installed.
      OSError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            # Without an input of its own, a program that asks for a password would wait for an answer.
            stdin=subprocess.PIPE if gets_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        # A program that is there, but whose interpreter is not, raises the same.
        if command[0] in PROGRAMS and shutil.which(command[0]) is None:
            require_programs(command[0])
        raise
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def failure(command: Sequence[str], status: int, stderr: str, fix: str = "") -> ProgramError:
    """The error for a program that failed.

    Args:
      command: the program and its arguments.
      status: its exit status.
      stderr: its standard error, of which the last lines are kept.
      fix: what the user can do; found in the standard error where it is a known one.
    """
    lines = [line for line in stderr.strip().splitlines() if not _KLOG.match(line)]
    seen = "\n".join(lines[-_TAIL_LINES:])
    known = next((known for sign, known in _KNOWN_FIXES.items() if sign in seen), "")
    return ProgramError(
        f"{command[0]} failed with exit status {status}.", where=shlex.join(command), seen=seen, fix=fix or known
    )


def _too_slow(command: Sequence[str], timeout: float | None, stderr: str = "", fix: str = "") -> ProgramError:
    return ProgramError(
        f"{command[0]} did not end within {timeout:g} seconds.", where=shlex.join(command), seen=stderr, fix=fix
    )


def _feed(stream: IO[str], text: str) -> None:
    # A program that ends early says why on its standard error, which counts for more than the broken pipe.
    with suppress(BrokenPipeError), stream:
        stream.write(text)


def _show(stream: IO[str], console: Console, tail: deque[str] | None) -> None:
    with stream:
        for line in stream:
            if tail is not None and not _KLOG.match(line):
                tail.append(line.rstrip())
            console.print(Text(f"  {line.rstrip()}"), soft_wrap=True)


def _repair(program: str, complaint: str) -> str:
    if program != "docker":
        return PROGRAMS[program].installation
    if "permission denied" in complaint:
        return "sudo usermod -aG docker $USER, then log in again"
    return "sudo systemctl start docker"
