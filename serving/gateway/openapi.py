"""The gateway's own description (OpenAPI), with the features of the model that is served."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.gateway.contract import Contract
from serving.gateway.problems import MEDIA_TYPE, Problem

_TEMPLATE = "#/components/schemas/{model}"
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
_OTHER_PROBLEMS = {
    400: "the body is not JSON",
    401: "the caller is unknown",
    413: "the body is too large",
    429: "the caller's rate limit is exceeded",
    502: "the model server failed",
    503: "the model is not available at the moment",
    504: "the model did not answer in time",
}


def describe(app: FastAPI, contract: Contract | None, security: dict[str, Any]) -> dict[str, Any]:
    """The description of an app.

    Args:
      app: the gateway's app.
      contract: the model's contract; None while no model has answered yet.
      security: the authentication methods, by name.
    """
    description = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    predict = description["paths"]["/v1/predict"]["post"]
    models: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
    problem = {MEDIA_TYPE: {"schema": {"$ref": _TEMPLATE.format(model=Problem.__name__)}}}
    others = "; ".join(f"{status}: {text}" for status, text in _OTHER_PROBLEMS.items() if security or status != 401)
    for operations in description["paths"].values():
        for operation in operations.values():
            # FastAPI's own form of these errors, in which none is answered here.
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "A problem.", "content": problem}
    predict["responses"] = {
        "422": {"description": "A row does not suit the model.", "content": problem},
        "default": {"description": f"Another problem. {others}.", "content": problem},
    }
    if contract:
        models += [(contract.request, "validation"), (contract.response, "serialization")]
        predict["requestBody"] = {"required": True, "content": _json(contract.request)}
        answer = {"description": "A prediction for each row.", "content": _json(contract.response)}
        predict["responses"] = {"200": answer, **predict["responses"]}
    _, schemas = models_json_schema(models, ref_template=_TEMPLATE)
    components = description.setdefault("components", {})
    own = {name: each for name, each in components.get("schemas", {}).items() if name not in _OF_FASTAPI}
    components["schemas"] = own | schemas["$defs"]
    if security:
        components["securitySchemes"] = security
        for path in ("/v1/predict", "/v1/models"):
            for operation in description["paths"][path].values():
                operation["security"] = [{name: []} for name in security]
    return description


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _TEMPLATE.format(model=model.__name__)}}}
