"""Names as Kubeflow writes them."""

from __future__ import annotations

import re


def component_name(name: str) -> str:
    """A name in lower case with underscores: `example_gen`.

    Args:
      name: that of a node or of a group of nodes.
    """
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
