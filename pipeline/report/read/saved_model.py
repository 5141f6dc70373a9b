"""Reads from a model's files which columns and classes it has, and its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.model_description import ModelDescription

FOLDER = "Format-Serving"


@dataclass(frozen=True)
class SavedModel:
    """A model on disk.

    Attributes:
      size: the size of all its files in bytes.
      columns: the raw columns that it takes, with their types; empty where the model does not say.
      classes: a classifier's label values by class index; empty where the model does not say.
      parameters: how many there are; None where the model does not say.
      threshold: of two classes, the score above which a row is positive; None where the model does not say.
      threshold_reason: why it is this one, in words that follow a comma; empty for the default.
      calibration: how logits are corrected, in words; empty where they are not.
      digest: of what the model consists of; empty where it does not say.
    """

    size: int
    columns: Mapping[str, str]
    classes: tuple[str, ...]
    parameters: int | None = None
    threshold: float | None = None
    threshold_reason: str = ""
    calibration: str = ""
    digest: str = ""

    @property
    def decision(self) -> str:
        """When a row is positive, in a sentence; empty where the model does not say."""
        if self.threshold is None:
            return ""
        reason = f", {self.threshold_reason}" if self.threshold_reason else ""
        return f"A row is called {self.classes[1]} where its score is above {self.threshold:.4g}{reason}."

    @property
    def calibrated(self) -> str:
        """How probabilities are calibrated, in a sentence; empty where they are not."""
        return f"Probabilities are calibrated: {self.calibration}." if self.calibration else ""


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
    description = ModelDescription.of(model)
    return SavedModel(
        size=sum(path.stat().st_size for path in model.rglob("*") if path.is_file()),
        columns=description.features,
        classes=tuple(map(str, description.classes)),
        parameters=description.parameters,
        threshold=description.threshold,
        threshold_reason=description.threshold_reason,
        calibration=description.calibration,
        digest=description.digest,
    )
