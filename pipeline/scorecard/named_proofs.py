"""Proofs that a team names itself: documents, which are worth half a point, and commands, which are worth a whole one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pipeline.errors import ConfigError
from pipeline.scorecard.card import Evidence
from pipeline.util.suggestions import did_you_mean

FILE_NAME = "score-card.yaml"
"""The file beside the configuration in which they are named."""


class Proof(BaseModel):
    """A proof of one test: one of the two.

    Attributes:
      document: a file that says what was tried and what came of it, relative to the file that names it.
      command: a command of the shell that succeeds where it holds, run in that file's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: str | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Proof:
        if (self.document is None) == (self.command is None):
            raise ValueError("a proof is either a document or a command")
        return self


def read(file: Path, known: Iterable[str]) -> dict[str, Proof]:
    """The proofs that a file names, by the tests' ids.

    Raises:
      ConfigError: the file cannot be read, or names a test that there is not.
    """
    names = list(known)
    expected = "for each test a document or a command, such as cost: {document: costs.md}"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        unknown = next((name for name in content if name not in names), None)
        if unknown is not None:
            raise ConfigError(
                f"The score card has no test {unknown}.",
                where=str(file),
                expected=f"one of {', '.join(names)}",
                fix=did_you_mean(str(unknown), names) or "conveyor score-card --json lists them.",
            )
        return {name: Proof.model_validate(proof) for name, proof in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            "The proofs cannot be read.", where=str(file), expected=expected, seen=str(error), fix="Correct the file."
        ) from error


def evidence(proofs: Mapping[str, Proof], folder: Path, *, run: bool) -> dict[str, Evidence]:
    """What these proofs show.

    Args:
      proofs: by the tests' ids.
      folder: the folder that documents are relative to and commands are run in.
      run: whether commands are run; those that are not prove nothing.
    """
    return {
        name: _document(proof, folder) if proof.document else _command(proof, folder, run) for name, proof in proofs.items()
    }


def _document(proof: Proof, folder: Path) -> Evidence:
    path = folder / str(proof.document)
    if path.is_file() and path.stat().st_size:
        return Evidence(0.5, str(path))
    return Evidence(0.0, f"{path} is {'empty' if path.is_file() else 'gone'}")


def _command(proof: Proof, folder: Path, run: bool) -> Evidence:
    command = str(proof.command)
    if not run:
        return Evidence(0.0, f"not run, which --run does: {command}")
    done = subprocess.run(command, shell=True, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return Evidence(1.0, f"succeeded: {command}")
    last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
    return Evidence(0.0, f"exit code {done.returncode}: {command}" + (f" ({last})" if last else ""))
