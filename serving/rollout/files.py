"""A rollout's files on this machine: its state, and the configuration that the model server reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.config import PipelineConfig
from pipeline.errors import StorageError
from pipeline.util.files import READABLE, write
from serving.rollout.models_config import render
from serving.rollout.placement import Placement
from serving.rollout.state import MENDED, RolloutState

STATE_FILE, MODELS_CONFIG_FILE = "rollout.json", "models.config"
_LOCK_SECONDS = 10.0


class LockedError(StorageError):
    """Another command is changing which versions serve."""


def folder(config: PipelineConfig) -> Path:
    """The folder of the files of a model's rollout."""
    return config.workspace_path / "serving" / config.name


def state_path(config: PipelineConfig) -> Path:
    """The file of the state, which the gateway watches; missing before the first rollout."""
    return folder(config) / STATE_FILE


def models_config_path(config: PipelineConfig) -> Path:
    """The configuration file that the model server reads again and again."""
    return folder(config) / MODELS_CONFIG_FILE


def prepare(config: PipelineConfig) -> Path:
    """Makes sure that models.config is there for a model server that is about to start, and says what the state says.

    The server has to be told --allow_version_labels_for_unavailable_models: when it first reads labels, nothing is loaded yet.

    Args:
      config: the configuration of the pipeline whose models are served.

    Returns:
      The path of the file, for --model_config_file.

    Raises:
      StorageError: a file cannot be read or written.
    """
    path = models_config_path(config)
    try:
        with locked(config, seconds=0.0):
            write_models_config(config, read_state(config).placement)
    except LockedError:
        # A command that waits for this very server has the lock, and has written the file to begin with.
        if not path.is_file():
            raise
    return path


@contextmanager
def locked(config: PipelineConfig, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keeps other commands on this machine from changing the files.

    Args:
      config: the pipeline's configuration.
      seconds: the time to wait for another command.

    Raises:
      LockedError: another command is changing them.
      StorageError: the folder cannot be written to.
    """
    lock = FileLock(folder(config) / ".rollout.lock", timeout=seconds)
    try:
        folder(config).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            "Another command is changing which versions serve.",
            where=lock.lock_file,
            seen=f"it has not ended within {seconds:g} s",
            fix="Wait for it; `conveyor rollout status` shows its progress.",
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
        return RolloutState.from_json(path.read_bytes())
    except FileNotFoundError:
        return RolloutState()
    except (OSError, ValueError) as error:
        raise StorageError(
            "The state of the rollout cannot be read.",
            where=str(path),
            expected="what `conveyor rollout` writes",
            seen=str(error),
            fix=f"{MENDED} Without the file, the newest version serves, and the history of rollouts is lost.",
        ) from error


def write_state(config: PipelineConfig, state: RolloutState) -> None:
    """Replaces the state, whole or not at all.

    Raises:
      StorageError: it cannot be written.
    """
    _write(state_path(config), state.to_json())


def write_models_config(config: PipelineConfig, placement: Placement) -> None:
    """Replaces models.config, whole or not at all; an equal file is left alone.

    Raises:
      StorageError: it cannot be written.
    """
    replace_models_config(config, render(config.name, str(config.serving_path), placement))


def replace_models_config(config: PipelineConfig, text: str) -> None:
    """Replaces models.config by a text, whole or not at all; an equal file is left alone.

    Raises:
      StorageError: it cannot be written.
    """
    path = models_config_path(config)
    if not path.is_file() or path.read_text() != text:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        write(path, text, READABLE)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        "The rollout cannot be changed, because its files cannot be written.",
        where=str(path),
        seen=error.strerror or str(error),
        fix="Free some space or correct the rights of the folder. The same versions serve as before.",
    )
