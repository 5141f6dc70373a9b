"""Checks objects against the Kubernetes API: its typed models know every field, which are required, and what they hold."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from kubernetes.client import Configuration, models

_MODELS = {
    "v1": "V1",
    "apps/v1": "V1",
    "autoscaling/v2": "V2",
    "batch/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "policy/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
}
_SCALARS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "datetime": str,
    # A name or a number of a port, a number or a percentage.
    "object": (str, int, dict),
}


def problems(manifest: dict[str, Any]) -> list[str]:
    """What the API server would refuse in an object, or drop in silence, each with its place."""
    version, kind = manifest.get("apiVersion"), manifest.get("kind", "")
    model = getattr(models, f"{_MODELS[version]}{kind}", None) if version in _MODELS else None
    if model is None:
        return [f"no such object: {kind} of {version}"]
    return _of_model(manifest, model, kind)


def _of_model(value: Any, model: type, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: expected {model.__name__}, got {value!r}"]
    attributes = {field: attribute for attribute, field in model.attribute_map.items()}  # type: ignore[attr-defined]
    found = [f"{where}.{field}: required, and missing" for field in sorted(_required(model) - value.keys())]
    for field, content in value.items():
        if field not in attributes:
            found.append(f"{where}.{field}: no such field")
        else:
            kind = model.openapi_types[attributes[field]]  # type: ignore[attr-defined]
            found += _of_type(content, kind, f"{where}.{field}")
    return found


def _of_type(value: Any, kind: str, where: str) -> list[str]:
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{where}: expected a list, got {value!r}"]
        return [problem for index, item in enumerate(value) for problem in _of_type(item, match[1], f"{where}[{index}]")]
    if match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            return [f"{where}: expected a mapping, got {value!r}"]
        return [problem for key, item in value.items() for problem in _of_type(item, match[1], f"{where}.{key}")]
    if kind in _SCALARS:
        right = isinstance(value, _SCALARS[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if right else [f"{where}: expected {kind}, got {value!r}"]
    return _of_model(value, getattr(models, kind), where)


@cache
def _required(model: type) -> frozenset[str]:
    """The fields that the model does not let be None."""
    unchecked = Configuration()
    unchecked.client_side_validation = False
    instance = model(local_vars_configuration=unchecked)
    instance.local_vars_configuration = Configuration()
    found = set()
    for attribute, field in model.attribute_map.items():  # type: ignore[attr-defined]
        try:
            setattr(instance, attribute, None)
        except ValueError:
            found.add(field)
    return frozenset(found)
