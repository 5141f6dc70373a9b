"""Tiny packages, made with the kfp SDK: their tasks are shell scripts."""

# kfp reads the annotations of component functions as objects, so no postponed evaluation here.
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kfp.compiler
from kfp import dsl


def sh(script: str, *arguments: Any) -> dsl.ContainerSpec:
    """A container that runs a script, with arguments from $1 on."""
    return dsl.ContainerSpec(image="shell:1", command=["sh", "-c", script, "sh"], args=list(arguments))


@dsl.container_component
def say(word: str) -> dsl.ContainerSpec:
    """Prints a word."""
    return sh('echo "$1"', word)


@dsl.container_component
def fail(word: str) -> dsl.ContainerSpec:
    """Prints a word and fails."""
    return sh('echo "$1"; exit 7', word)


@dsl.container_component
def tell(status: dsl.PipelineTaskFinalStatus) -> dsl.ContainerSpec:
    """Prints how what it is the exit task of ended."""
    return sh('echo "$1"', status)


def compiled(pipeline: Callable[..., Any], caching: bool = False) -> str:
    """The package that kfp compiles a pipeline function to, with KFP's cache off, as it must be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.yaml"
        kfp.compiler.Compiler().compile(dsl.pipeline(name="tiny")(pipeline), str(path))
        text = path.read_text()
    return text if caching else text.replace("enableCache: true", "enableCache: false")
