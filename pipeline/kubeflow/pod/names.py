"""Names as Kubeflow writes them."""

from __future__ import annotations

import re


def component_name(name: str) -> str:
    """A name in lower case with underscores: `example_gen`.

    Args:
      name: that of a node or of a group of nodes.
    """
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def label_value(name: str) -> str:
    """A name as the value of a label: `ExampleGen-to-Transform`.

    Args:
      name: that of a node or of a group of nodes.
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.")[:63].strip("-_.")
