"""A TFX pipeline of four nodes that take no time: Source, then Left and Right side by side, then Join."""

# TFX reads the annotations of component functions as objects, so no postponed evaluation here.
import os
import signal
import time
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import HyperParameters

from pipeline.errors import DataError
from pipeline.util.notes import note


@component
def write(text: Parameter[str], result: OutputArtifact[HyperParameters]) -> None:
    """Writes a text."""
    Path(result.uri, "text").write_text(text)


@component
def behave(
    name: Parameter[str],
    behaviour: Parameter[str],
    source: InputArtifact[HyperParameters],
    result: OutputArtifact[HyperParameters],
) -> None:
    """Behaves as told, and otherwise appends its name to the text."""
    action, _, argument = behaviour.partition(":")
    if action == "meet":
        folder = Path(argument)
        Path(folder, name).touch()
        deadline = time.monotonic() + 60
        while len(list(folder.iterdir())) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} waited for its neighbour in vain")
            time.sleep(0.01)
    elif action == "note":
        note(argument)
    elif action == "refuse":
        raise DataError("The rows are wrong.", where=name, expected="right rows", seen="wrong rows", fix="mend them")
    elif action == "raise":
        raise ValueError("something unforeseen")
    elif action == "fill":
        raise OSError(28, "No space left on device", "/disk/file")
    elif action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        Path(argument).write_text(str(os.getpid()))
        time.sleep(600)
    Path(result.uri, "text").write_text(Path(source.uri, "text").read_text() + name)


@component
def join(
    left: InputArtifact[HyperParameters], right: InputArtifact[HyperParameters], result: OutputArtifact[HyperParameters]
) -> None:
    """Puts two texts together."""
    Path(result.uri, "text").write_text(Path(left.uri, "text").read_text() + Path(right.uri, "text").read_text())


def create(root: str, text: str = "a", left: str = "", right: str = "") -> Pipeline:
    """Left and Right behave as told: meet:FOLDER, note:TEXT, refuse, raise, fill, die, hang:FILE; or just copy."""
    source = write(text=text).with_id("Source")
    upstream = source.outputs["result"]
    left_step = behave(name="Left", behaviour=left, source=upstream).with_id("Left")
    right_step = behave(name="Right", behaviour=right, source=upstream).with_id("Right")
    both = join(left=left_step.outputs["result"], right=right_step.outputs["result"]).with_id("Join")
    return Pipeline(
        pipeline_name="tiny",
        pipeline_root=f"{root}/artifacts",
        components=[source, left_step, right_step, both],
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(f"{root}/metadata.sqlite"),
    )
