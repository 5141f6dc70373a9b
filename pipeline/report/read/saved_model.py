"""Reads from a model's files which columns and classes it has, and its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.model import DESCRIPTION_PATH, ModelDescription

FOLDER = "Format-Serving"


@dataclass(frozen=True)
class SavedModel:
    """A model on disk.

    Attributes:
      size: the size of all its files in bytes.
      columns: the raw columns that it takes, with their types; empty where the model does not say.
      classes: a classifier's label values by class index; empty where the model does not say.
      parameters: how many there are; None where the model does not say.
    """

    size: int
    columns: Mapping[str, str]
    classes: tuple[str, ...]
    parameters: int | None = None


def read_saved_model(folder: Path) -> SavedModel:
    """Reads a `Model` artifact.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has no model for serving.
    """
    model = folder / FOLDER
    if not model.is_dir():
        raise FileNotFoundError(model)
    path = model / DESCRIPTION_PATH
    # A model of another trainer has none.
    description = ModelDescription.from_json(path.read_text()) if path.is_file() else ModelDescription()
    return SavedModel(
        size=sum(path.stat().st_size for path in model.rglob("*") if path.is_file()),
        columns=description.features,
        classes=tuple(map(str, description.classes)),
        parameters=description.parameters,
    )
