"""Names, labels and quantities as Kubernetes takes them, and as KFP's compiler does, which is stricter with quantities.

Sources: Kubernetes' "Object Names and IDs", "Labels and Selectors" and "Resource Management for Pods and Containers"; for
quantities `kfp.dsl.PipelineTask`. Editors with the YAML language server show `patternErrorMessage` where a pattern fails.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
_UNITS = {"": 0, **{unit: power for power, unit in enumerate("KMGTPE", start=1)}}

LARGEST = 2**31 - 1
"""The largest whole number of most fields of a pod: user ids, deadlines, retries."""


def _matching(pattern: str, says: str, **constraints: Any) -> Any:
    """A field whose text matches a pattern, with what editors say where it does not, and further constraints."""
    return Field(pattern=f"^{pattern}$", json_schema_extra={"patternErrorMessage": says}, **constraints)


ObjectName = Annotated[
    str,
    _matching(
        _SUBDOMAIN,
        "the name of an object in Kubernetes: lower-case letters, digits, dashes and dots, as in my-secret",
        max_length=253,
    ),
]
"""The name of a Secret or a PersistentVolumeClaim."""

Namespace = Annotated[
    str,
    _matching(_LABEL, "the name of a namespace: up to 63 lower-case letters, digits and dashes, as in my-team", max_length=63),
]
"""The name of a namespace."""

DataKey = Annotated[
    str,
    _matching(
        r"(\.?[A-Za-z0-9_-])[A-Za-z0-9._-]*",
        "a key of a Secret: letters, digits, dashes, underscores and dots, as in url",
        max_length=253,
    ),
]
"""A key of a Secret."""

LabelKey = Annotated[
    str,
    _matching(
        rf"({_SUBDOMAIN}/)?{_QUALIFIED}",
        "the key of a label: letters, digits, dashes, underscores and dots, after a domain and a slash or not",
        max_length=253 + 1 + 63,
    ),
]
"""The key of a label or a taint."""

LabelValue = Annotated[
    str,
    BeforeValidator(
        lambda given: str(given).lower() if isinstance(given, bool) else str(given) if type(given) is int else given
    ),
    _matching(
        f"({_QUALIFIED})?", "the value of a label: up to 63 letters, digits, dashes, underscores and dots", max_length=63
    ),
]
"""The value of a label or a taint. YAML reads `true` and `1` as other types."""

ExtendedResource = Annotated[
    str,
    _matching(
        f"{_SUBDOMAIN}/{_QUALIFIED}",
        "a resource with its domain, as in nvidia.com/gpu",
        max_length=253 + 1 + 63,
        examples=["nvidia.com/gpu"],
    ),
]
"""The name of a resource beside CPU and memory."""

Image = Annotated[
    str,
    _matching(
        r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "an image as registry/name:tag, the name in lower case, as in conveyor:0.1.0",
        examples=["registry.example.com/conveyor:0.1.0"],
    ),
]
"""The name of an image."""

_as_text = BeforeValidator(
    lambda given: str(given) if type(given) in (int, float) else given, json_schema_input_type=str | float
)

Cpu = Annotated[
    str,
    _as_text,
    _matching(
        r"([0-9]+(\.[0-9]{1,3})?|[0-9]+m)",
        "cores, as in 2 or 0.5, or thousandths of a core, as in 500m",
        examples=["500m", "2"],
    ),
]
"""Cores."""

Memory = Annotated[
    str,
    _as_text,
    _matching(
        "[0-9]+([KMGTPE]i?)?",
        "a whole number of bytes with a unit: K, M, G, T, P or E, or Ki, Mi, Gi and so on, as in 4Gi",
        examples=["4Gi", "1536Mi"],
    ),
]
"""Bytes."""


def amount(quantity: str) -> Decimal:
    """A quantity of CPU or memory as a number of cores or bytes."""
    if quantity.endswith("m"):
        return Decimal(quantity[:-1]) / 1000
    number = quantity.rstrip("KMGTPEi")
    unit = quantity[len(number) :]
    return Decimal(number) * (1024 if unit.endswith("i") else 1000) ** _UNITS[unit.removesuffix("i")]
