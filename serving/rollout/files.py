"""A rollout's files on this machine: its state, and the configuration that the model server reads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from pipeline.config import PipelineConfig
from pipeline.errors import StorageError
from serving.rollout.models_config import render
from serving.rollout.state import Placement, RolloutState

STATE_FILE, MODELS_CONFIG_FILE = "rollout.json", "models.config"
_LOCK_SECONDS = 10.0
_MODE = 0o644


def folder(config: PipelineConfig) -> Path:
    """Where the files of a model's rollout are."""
    return config.workspace_path / "serving" / config.name


def state_path(config: PipelineConfig) -> Path:
    """The state, which the gateway watches; missing before the first rollout."""
    return folder(config) / STATE_FILE


def models_config_path(config: PipelineConfig) -> Path:
    """What the model server reads, again and again."""
    return folder(config) / MODELS_CONFIG_FILE


def prepare(config: PipelineConfig) -> Path:
    """Makes sure that models.config is there for a model server that is about to start, and says what the state says.

    The server has to be told --allow_version_labels_for_unavailable_models: when it first reads labels, nothing is loaded yet.

    Args:
      config: of the pipeline whose models are served.

    Returns:
      Its path, for --model_config_file.

    Raises:
      StorageError: a file cannot be read or written.
    """
    path = models_config_path(config)
    try:
        with locked(config, seconds=0.0):
            write_models_config(config, read_state(config).placement)
    except StorageError:
        # A command that waits for this very server has the lock: what it has written is what to begin with.
        if not path.is_file():
            raise
    return path


@contextmanager
def locked(config: PipelineConfig, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keeps other commands on this machine from changing the files.

    Args:
      config: of the pipeline.
      seconds: to wait for another command.

    Raises:
      StorageError: another command is at it, or the folder cannot be written to.
    """
    lock = FileLock(folder(config) / ".rollout.lock", timeout=seconds)
    try:
        folder(config).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            "Another command is changing what serves.",
            where=lock.lock_file,
            seen=f"it has not ended within {seconds:g} s",
            fix="wait for it; `conveyor rollout status` shows where it stands",
        ) from error
    except OSError as error:
        raise _not_written(folder(config), error) from error
    try:
        yield
    finally:
        lock.release()


def read_state(config: PipelineConfig) -> RolloutState:
    """The state; the empty one where there was no rollout.

    Raises:
      StorageError: the file cannot be read.
    """
    path = state_path(config)
    try:
        return RolloutState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return RolloutState()
    except (OSError, ValidationError) as error:
        raise StorageError(
            "The state of the rollout cannot be read.",
            where=str(path),
            expected="what `conveyor rollout` writes",
            seen=str(error),
            fix="restore it from a copy; without it the newest version serves, and the history of rollouts is lost",
        ) from error


def write_state(config: PipelineConfig, state: RolloutState) -> None:
    """Replaces the state, whole or not at all.

    Raises:
      StorageError: it cannot be written.
    """
    _write(state_path(config), state.model_dump_json(indent=2) + "\n")


def write_models_config(config: PipelineConfig, placement: Placement) -> None:
    """Replaces models.config, whole or not at all; leaves it alone where it says that already.

    Raises:
      StorageError: it cannot be written.
    """
    replace_models_config(config, render(config.name, str(config.serving_path), placement))


def replace_models_config(config: PipelineConfig, text: str) -> None:
    """Replaces models.config by a text, whole or not at all; leaves it alone where it is that already.

    Raises:
      StorageError: it cannot be written.
    """
    path = models_config_path(config)
    if not path.is_file() or path.read_text() != text:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp's 0600 would keep out servers that run as other users.
            os.chmod(partial, _MODE)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        "What serves cannot be changed: its files cannot be written.",
        where=str(path),
        seen=error.strerror or str(error),
        fix="free space or mend the rights of the folder; what served before still does",
    )
