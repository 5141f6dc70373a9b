"""Other people's programs, called by name: docker, git, kind and kubectl."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from pipeline.errors import ConveyorError, UsageError
from pipeline.util.capabilities import PROGRAMS, check_program

_TAIL_LINES = 12
_READ_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_FORWARD_SECONDS = 15
_FORWARDED = re.compile(r"Forwarding from (127\.0\.0\.1:\d+) -> ")
# kubectl's own log, such as "E1121 06:53:13.221641   28704 memcache.go:265]": the same again in more words.
_KLOG = re.compile(r"[EWIF]\d{4} \d\d:\d\d:\d\d\.\d+ ")


class ProgramError(ConveyorError):
    """A program ended with an error, or did not end in time."""

    headline = "A program failed"

    @property
    def stderr(self) -> str:
        """The last lines that it wrote on its standard error."""
        return self.seen


def require_programs(*names: str) -> None:
    """Makes sure that programs are there, work, and are of a supported version.

    Args:
      names: of `docker` (with an engine that answers), `git`, `kind`, `kubectl`.

    Raises:
      UsageError: one is not; it says how to get it.
    """
    for name in names:
        check = check_program(name)
        if not check.ok:
            raise UsageError(
                f"{name} cannot be used.",
                where=os.environ.get("PATH", "") if check.seen == "not on the path" else "",
                expected=f"{name} {PROGRAMS[name].minimum} or newer",
                seen=check.seen,
                fix=check.fix,
            )


def run(
    program: str,
    *arguments: str,
    console: Console,
    input: str | None = None,
    timeout: float | None = None,
    fix: str = "",
) -> None:
    """Runs a program, showing the command line first and then what it writes, line by line.

    Args:
      program: its name on the path.
      arguments: no secrets: they are shown. Those go into `input`.
      console: where the command line and its output are shown.
      input: what it reads on its standard input; nothing when not given.
      timeout: seconds after which it is ended; never when not given.
      fix: what a person can do when it fails.

    Raises:
      ProgramError: it failed, or took too long.
      UsageError: it is not there.
    """
    console.print(Text(f"$ {shlex.join([program, *arguments])}", style="dim"), soft_wrap=True)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with _process([program, *arguments], gets_input=input is not None) as process:
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
            raise _too_slow([program, *arguments], timeout, "\n".join(tail), fix) from None
        for reader in readers:
            # What a grandchild still writes is not waited for.
            reader.join(_GRACE_SECONDS)
    if status != 0:
        raise _failure([program, *arguments], status, "\n".join(tail), fix)


def read(program: str, *arguments: str, timeout: float = _READ_SECONDS) -> str:
    """Runs a program that only looks, and returns what it writes on its standard output. Nothing is shown.

    Args:
      program: its name on the path.
      arguments: as it takes them.
      timeout: seconds after which it is ended.

    Raises:
      ProgramError: it failed, or took too long.
      UsageError: it is not there.
    """
    with _process([program, *arguments], gets_input=False) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise _too_slow([program, *arguments], timeout) from None
    if process.returncode != 0:
        raise _failure([program, *arguments], process.returncode, _last_lines(errors))
    return output


class Kubectl:
    """kubectl on one cluster."""

    def __init__(self, context: str, namespace: str, console: Console) -> None:
        """Makes no call yet.

        Args:
          context: of the kubeconfig; never the current one, which another program may have changed.
          namespace: that every call is about; empty where the objects that are applied name their own.
          console: where command lines and output are shown.
        """
        self.context, self.namespace, self.console = context, namespace, console

    def run(self, *arguments: str, input: str | None = None, timeout: float | None = None, fix: str = "") -> None:
        """Runs kubectl as `programs.run` does."""
        run("kubectl", *self._target, *arguments, console=self.console, input=input, timeout=timeout, fix=fix)

    def read(self, *arguments: str, timeout: float = _READ_SECONDS) -> str:
        """Runs kubectl as `programs.read` does."""
        return read("kubectl", *self._target, *arguments, timeout=timeout)

    def objects(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of a kind in the namespace, as the API server has them.

        Args:
          kind: such as `pods`.
          arguments: further ones, such as `--selector=app=x`.
        """
        items: list[dict[str, Any]] = json.loads(self.read("get", kind, *arguments, "--output=json"))["items"]
        return items

    def get(self, kind: str, name: str, *arguments: str) -> dict[str, Any] | None:
        """One object, or None where there is none.

        Args:
          kind: such as `secret`.
          name: of the object.
          arguments: further ones.
        """
        text = self.read("get", kind, name, *arguments, "--ignore-not-found", "--output=json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """Makes a port in the cluster one of this machine, until the block is left.

        Args:
          target: such as `service/serving` or `pod/serving-0`.
          port: of the target.

        Yields:
          Where it is here: host:port.

        Raises:
          ProgramError: kubectl cannot reach it.
          UsageError: kubectl is not there.
        """
        wait = f"--pod-running-timeout={_FORWARD_SECONDS}s"
        command = ["kubectl", *self._target, "port-forward", wait, "--address=127.0.0.1", target, f":{port}"]
        with _process(command, gets_input=False) as process:
            first = process.stdout.readline() if process.stdout else ""
            opened = _FORWARDED.match(first)
            if opened is None:
                _, errors = process.communicate(timeout=_READ_SECONDS)
                raise _failure(command, process.returncode, _last_lines(errors))
            yield opened[1]

    @property
    def _target(self) -> tuple[str, ...]:
        return ("--context", self.context, *(("--namespace", self.namespace) if self.namespace else ()))


@contextmanager
def _process(command: Sequence[str], *, gets_input: bool) -> Iterator[subprocess.Popen[str]]:
    """A started program, which is ended at the latest when the block is left."""
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


def _last_lines(text: str) -> str:
    return "\n".join([line for line in text.strip().splitlines() if not _KLOG.match(line)][-_TAIL_LINES:])


def _too_slow(command: Sequence[str], timeout: float | None, stderr: str = "", fix: str = "") -> ProgramError:
    return ProgramError(
        f"{command[0]} did not end within {timeout:g} seconds.", where=shlex.join(command), seen=stderr, fix=fix
    )


def _failure(command: Sequence[str], status: int, stderr: str, fix: str = "") -> ProgramError:
    return ProgramError(
        f"{command[0]} failed with exit status {status}.", where=shlex.join(command), seen=stderr, fix=fix or _known_fix(stderr)
    )


def _known_fix(stderr: str) -> str:
    fixes = {
        "was refused": "The cluster does not answer. For the local one: conveyor cluster up",
        "no such host": "The cluster's address is not known here: check the network, or kubectl config view",
        "i/o timeout": "The cluster does not answer: check the network or the VPN",
        "context": "name a context of `kubectl config get-contexts` in kubeflow.context, or: conveyor cluster up",
        "Cannot connect to the Docker daemon": "sudo systemctl start docker",
        "You must be logged in": "log in to the cluster again: its credentials have expired",
        "forbidden": "ask the cluster's administrator for the right that is named above",
    }
    return next((fix for sign, fix in fixes.items() if sign in stderr), "")
