"""kubectl, called on one context and namespace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from pipeline.util import programs

_FORWARD_SECONDS = 15
_FORWARDED = re.compile(r"Forwarding from (127\.0\.0\.1:\d+) -> ")


class Kubectl:
    """kubectl on one cluster.

    Args:
      context: a context of the kubeconfig; never the current one, which another program may have changed.
      namespace: the namespace of every call; empty where the objects that are applied name their own.
      console: where command lines and output are shown.
    """

    def __init__(self, context: str, namespace: str, console: Console) -> None:
        self.context, self.namespace, self.console = context, namespace, console

    def within(self, namespace: str) -> Kubectl:
        """Kubectl on another namespace of the same cluster; empty where applied objects name their own."""
        return Kubectl(self.context, namespace, self.console)

    def run(self, *arguments: str, input: str | None = None, timeout: float | None = None, fix: str = "") -> None:
        """Runs kubectl as `programs.run` does."""
        programs.run("kubectl", *self._target, *arguments, console=self.console, input=input, timeout=timeout, fix=fix)

    def read(self, *arguments: str, timeout: float = programs.READ_SECONDS, input: str | None = None) -> str:
        """Runs kubectl as `programs.read` does."""
        return programs.read("kubectl", *self._target, *arguments, timeout=timeout, input=input)

    def objects(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of a kind in the namespace, as the API server has them.

        Args:
          kind: such as `pods`.
          arguments: further arguments, such as `--selector=app=x`.
        """
        items: list[dict[str, Any]] = json.loads(self.read("get", kind, *arguments, "--output=json"))["items"]
        return items

    def get(self, kind: str, name: str, *arguments: str) -> dict[str, Any] | None:
        """One object, or None where there is none.

        Args:
          kind: such as `secret`.
          name: the object's name.
          arguments: further arguments.
        """
        text = self.read("get", kind, name, *arguments, "--ignore-not-found", "--output=json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """Forwards a port of this machine to one in the cluster until the block is left.

        Args:
          target: such as `service/serving` or `pod/serving-0`.
          port: the target's port.

        Yields:
          The address on this machine: host:port.

        Raises:
          ProgramError: kubectl cannot reach it.
          UsageError: kubectl is not installed.
        """
        wait = f"--pod-running-timeout={_FORWARD_SECONDS}s"
        command = ["kubectl", *self._target, "port-forward", wait, "--address=127.0.0.1", target, f":{port}"]
        with programs.started(command) as process:
            first = process.stdout.readline() if process.stdout else ""
            opened = _FORWARDED.match(first)
            if opened is None:
                _, errors = process.communicate(timeout=programs.READ_SECONDS)
                raise programs.failure(command, process.returncode, errors)
            yield opened[1]

    @property
    def _target(self) -> tuple[str, ...]:
        return ("--context", self.context, *(("--namespace", self.namespace) if self.namespace else ()))
