"""Ports of pods as ports of this machine, by kubectl port-forward."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread, Timer
from typing import IO

from pipeline.kubeflow.programs import Kubectl, ProgramError

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_START_SECONDS = 20.0
_END_SECONDS = 5.0


def forwarder(kubectl: Kubectl) -> Callable[[str, int], AbstractContextManager[str]]:
    """Makes a port of a pod a port of this machine as long as a block lasts, given the pod's name and the port.

    Args:
      kubectl: on the namespace of the pods.
    """

    @contextmanager
    def forward(pod: str, port: int) -> Iterator[str]:
        command = ["kubectl", "--context", kubectl.context, "--namespace", kubectl.namespace]
        command += ["port-forward", f"pod/{pod}", f":{port}", "--address=127.0.0.1"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        try:
            local_port = _local_port(process, process.stdout, command)
            # It tells of each connection, and would stop when nobody reads that.
            Thread(target=process.stdout.read, daemon=True).start()
            yield f"127.0.0.1:{local_port}"
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    return forward


def _local_port(process: subprocess.Popen[str], output: IO[str], command: list[str]) -> str:
    """The port that kubectl says it has chosen."""
    # Ended by the timer, kubectl closes its output, which ends the loop.
    timer = Timer(_START_SECONDS, process.terminate)
    timer.start()
    written = []
    try:
        for line in output:
            if found := _FORWARDING.search(line):
                return found[1]
            written.append(line.strip())
    finally:
        timer.cancel()
    raise ProgramError(
        "kubectl cannot reach a port of a pod.",
        where=" ".join(command),
        seen="\n".join(written) or f"nothing within {_START_SECONDS:g} s",
        fix="kubectl auth can-i create pods/portforward says whether you may; role.yaml of manifests/serving has what it takes",
    )
