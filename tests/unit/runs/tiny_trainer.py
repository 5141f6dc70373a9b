"""A node that makes a model of a few bytes."""

# TFX reads the annotations of component functions as objects, so no postponed evaluation here.
from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model

GRAPH = b"graph" * 100


@component
def train(model: OutputArtifact[Model]) -> None:
    """Writes something in the place of a SavedModel."""
    folder = Path(model.uri, "Format-Serving")
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(GRAPH)
