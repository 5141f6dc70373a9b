"""The choice between a container and a process to serve the candidate in, made without TFX."""

from __future__ import annotations

import functools
import shutil
import subprocess

from pipeline import config
from pipeline.errors import ConfigError


def serves_in_container(settings: config.InfraValidator) -> bool:
    """Whether TensorFlow Serving in a container serves the candidate; otherwise a process does.

    `auto` means a container where an engine answers and has the image, so that no run waits for a download that nobody asked
    for, or fails because of it.

    Args:
      settings: the section `infra_validator` of the configuration.

    Raises:
      ConfigError: the runner is `docker`, and no engine answers.
    """
    if settings.runner == "docker" and not engine_answers("version"):
        raise ConfigError(
            "No Docker engine answers.",
            where="infra_validator.runner",
            expected="an engine that `docker version` can reach",
            seen="docker",
            fix="Start the engine, or set infra_validator.runner to 'process' or 'auto'.",
        )
    return settings.runner == "docker" or (settings.runner == "auto" and engine_answers("image", "inspect", settings.image))


@functools.lru_cache
def engine_answers(*arguments: str) -> bool:
    """Whether a command of `docker` succeeds."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False
