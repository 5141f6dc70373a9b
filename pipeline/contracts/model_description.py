"""What a model says of itself, in a file within its SavedModel."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.contracts.model import ColumnType
from pipeline.errors import StorageError

DESCRIPTION_PATH = "assets.extra/conveyor.json"
"""Within the SavedModel: a `ModelDescription` as JSON."""


@dataclass(frozen=True)
class ModelDescription:
    """A model's description of itself, which travels within its SavedModel.

    Attributes:
      task: a value of `pipeline.config.Task`.
      label: the column that it predicts.
      classes: a classifier's label values by class index.
      parameters: how many weights it has.
      features: the types of the raw columns that it takes, by name.
      threshold: of two classes, the score above which a row is positive.
      threshold_reason: why it is this one, in words that follow a comma; empty for the default.
      calibration: how logits are corrected, in words; empty where they are not.
      class_weights: of several classes, by what their probabilities are multiplied for `weighed_probabilities`; empty where the
        model has no such output.
      digest: the digest of what the SavedModel consists of; empty where an earlier release has written it.
    """

    task: str | None = None
    label: str | None = None
    classes: list[str | int] = field(default_factory=list)
    parameters: int | None = None
    features: dict[str, ColumnType] = field(default_factory=dict)
    threshold: float | None = None
    threshold_reason: str = ""
    calibration: str = ""
    class_weights: list[float] = field(default_factory=list)
    digest: str = ""

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> ModelDescription:
        """Reads the text of the file. Fields that it lacks keep their defaults; fields of other versions are passed over.

        Raises:
          ValueError: it is damaged.
        """
        return TypeAdapter(cls).validate_json(text)

    @classmethod
    def of(cls, model: str | os.PathLike[str]) -> ModelDescription:
        """What a model says of itself; nothing where another trainer has made it.

        Args:
          model: the folder of the SavedModel.

        Raises:
          StorageError: the file cannot be read, or is damaged.
        """
        path = Path(model, DESCRIPTION_PATH)
        try:
            return cls.from_json(path.read_text(errors="replace"))
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise StorageError(
                "The description of a model cannot be read.",
                where=str(path),
                seen=error.strerror or str(error),
                fix="Correct the rights of the file.",
            ) from error
        except ValueError as error:
            raise damaged_description(str(path), error) from error


def damaged_description(where: str, error: ValueError) -> StorageError:
    """The error of a description that is not what was written.

    Args:
      where: the file.
      error: what `ModelDescription.from_json` has raised.
    """
    return StorageError(
        "The description of a model is damaged.",
        where=where,
        expected="what the Trainer has written: a JSON object",
        seen=str(error).partition("\n")[0],
        fix="Of a pushed version: push another, and then delete the folder of this one. Otherwise: conveyor run",
    )
