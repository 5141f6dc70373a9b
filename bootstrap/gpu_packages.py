"""Prints what TensorFlow asks for to use NVIDIA's GPUs, a requirement a line: the input of requirements-gpu.lock."""

from __future__ import annotations

from importlib.metadata import requires

from packaging.requirements import Requirement


def requirements() -> list[Requirement]:
    """The requirements of TensorFlow's extra `and-cuda`."""
    found = map(Requirement, requires("tensorflow") or ())
    return [
        each
        for each in found
        if each.marker is not None and each.marker.evaluate({"extra": "and-cuda"}) and not each.marker.evaluate({"extra": ""})
    ]


if __name__ == "__main__":
    for each in requirements():
        print(f"{each.name}{each.specifier}")
