"""Whether a container serves the candidate. Decided without TFX."""

from __future__ import annotations

import functools
import shutil
import subprocess

from pipeline import config
from pipeline.errors import ConfigError


def serves_in_container(settings: config.InfraValidator) -> bool:
    """Whether TensorFlow Serving in a container serves the candidate; otherwise a process does.

    `auto` means a container where an engine answers and holds the image, so that no run waits for, or fails by, an image
    that nobody asked to fetch.

    Args:
      settings: the section `infra_validator` of the configuration.

    Raises:
      ConfigError: `docker` is asked for, and no engine answers.
    """
    if settings.runner == "docker" and not engine_answers("version"):
        raise ConfigError(
            "No Docker engine answers.",
            where="infra_validator.runner",
            expected="an engine that `docker version` can reach",
            seen="docker",
            fix="start the engine, or set infra_validator.runner to 'process' or 'auto'",
        )
    return settings.runner == "docker" or (settings.runner == "auto" and engine_answers("image", "inspect", settings.image))


@functools.lru_cache
def engine_answers(*arguments: str) -> bool:
    """Whether the engine answers a command of `docker` with success."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False
