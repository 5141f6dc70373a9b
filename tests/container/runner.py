"""Runs the walker's pods in containers, as confined as a cluster's are."""

from __future__ import annotations

import os
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

from tests.walker import Exit, Pod

CONFINED = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--network=none")
"""No capabilities, as in KFP's pods; and, stricter than there, nothing to write to but what is mounted, and no network."""

_OWN_FOLDERS = ("tmp", "minio")


class DockerRunner:
    """Runs each pod as a container of its image, under the user that the package names."""

    def root(self, folder: Path) -> str:
        """A container has its own files at /."""
        return ""

    def __call__(self, pod: Pod) -> Exit:
        """Runs a pod to its end; one that takes too long is killed."""
        mounts = {f"/{name}": pod.folder / name for name in _OWN_FOLDERS} | pod.mounts
        for source in (pod.folder / name for name in _OWN_FOLDERS):
            source.mkdir(exist_ok=True)
            # In a cluster these are scratch volumes of the pod, which any user may write to.
            for folder in (source, *(path for path in source.rglob("*") if path.is_dir())):
                folder.chmod(0o777)
        container = f"conveyor-{uuid.uuid4()}"
        command = ["docker", "run", "--rm", f"--name={container}", *CONFINED]
        command += [f"--volume={source}:{path}" for path, source in mounts.items()]
        # The values stay out of the command line.
        command += [f"--env={variable}" for variable in pod.environment]
        if pod.user is not None:
            command.append(f"--user={pod.user}:{pod.user}")
        log = pod.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, pod.image, *pod.command],
                env={**os.environ, **pod.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                process.wait(pod.timeout)
            except subprocess.TimeoutExpired:
                with suppress(subprocess.CalledProcessError):
                    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
                process.wait()
        return Exit(process.returncode, log.read_text(errors="replace"))
