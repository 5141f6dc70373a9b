"""What the model's own files tell: its columns, its classes, its size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "Format-Serving"
# Written by the Trainer beside the SavedModel; a model of another trainer has none.
CONTRACT_PATH = "assets.extra/conveyor.json"


@dataclass(frozen=True)
class SavedModel:
    """A model on disk.

    Attributes:
      size: bytes of all its files.
      columns: the raw columns that it takes, with their types; empty where the model does not say.
      classes: of a classifier, the label's values by class index; empty where the model does not say.
      parameters: how many there are; None where the model does not say.
    """

    size: int
    columns: Mapping[str, str]
    classes: tuple[str, ...]
    parameters: int | None = None


def read_saved_model(folder: Path) -> SavedModel:
    """Reads a `Model` artifact.

    Args:
      folder: the artifact's.

    Raises:
      FileNotFoundError: it has no model for serving.
    """
    model = folder / FOLDER
    if not model.is_dir():
        raise FileNotFoundError(model)
    contract_path = model / CONTRACT_PATH
    contract = json.loads(contract_path.read_text()) if contract_path.is_file() else {}
    return SavedModel(
        size=sum(path.stat().st_size for path in model.rglob("*") if path.is_file()),
        columns=contract.get("features", {}),
        classes=tuple(map(str, contract.get("classes", ()))),
        parameters=contract.get("parameters"),
    )
