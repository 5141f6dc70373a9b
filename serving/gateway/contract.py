"""The form of requests and responses, as pydantic models made from the model's own schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from pipeline.config import Gateway
from pipeline.contracts.model import LABELS, SCORE
from pipeline.contracts.schema import SchemaFeature
from serving.client import ModelFeature, ModelSchema
from serving.client.features import Row, Value, Values
from serving.errors import FeatureError
from serving.gateway.answers import Explanation
from serving.gateway.problems import ProblemError, RowError

_EXPECTED = {
    "DT_INT64": "an integer of 64 bits, or for a time also text in ISO 8601, such as 2026-01-15T12:00:00Z",
    "DT_FLOAT": "a number that 32 bits can hold",
}
_EXAMPLE_TIME = "2026-01-15T12:00:00Z"
_SHOWN_ERRORS, _SHOWN_CHARACTERS = 20, 60


def _number(value: Any) -> Any:
    """Refuses values that pydantic would turn into a number."""
    if isinstance(value, bool | str):
        raise ValueError("Input should be a number")
    return value


_Key = Annotated[str, Field(max_length=256)] | Annotated[int, BeforeValidator(_number)]


@dataclass(frozen=True)
class Question:
    """What a request asks.

    Attributes:
      rows: every feature of the model in each row, encoded as `encode_rows` takes it, None without a value.
      keys: the caller's own key of each row, by which the log of predictions names it; None where there is none.
    """

    rows: list[Row]
    keys: list[str | None]


@dataclass(frozen=True)
class Contract:
    """The contract between the gateway and its callers.

    Attributes:
      features: the model's features by name.
      request: the body of POST /v1/predict.
      row: one of its rows.
      response: the body of the response to it.
      max_rows: the most rows of a request.
    """

    features: Mapping[str, ModelFeature]
    request: type[BaseModel]
    row: type[BaseModel]
    response: type[BaseModel]
    max_rows: int

    def read(self, body: bytes) -> Question:
        """Reads a request.

        Args:
          body: JSON.

        Raises:
          ProblemError: the request breaks the contract; the problem names rows and features.
        """
        try:
            request = self.request.model_validate_json(body)
        except ValidationError as error:
            raise self._problem(body, error) from None
        content = request.model_dump(by_alias=True)
        rows: list[Row] = content["rows"]
        keys = content["keys"]
        if keys is None:
            return Question(rows, [None] * len(rows))
        if len(keys) != len(rows):
            seen = f"{len(keys)} for {len(rows)} rows"
            raise ProblemError(
                422, "keys: There must be one for each row.", [RowError(message="keys: One for each row", seen=seen)]
            )
        return Question(rows, [None if key is None else str(key) for key in keys])

    def _problem(self, body: bytes, error: ValidationError) -> ProblemError:
        """The problem with a body: its first errors, since a small body may have hundreds of thousands."""
        try:
            document = from_json(body)
        except ValueError as problem:
            return ProblemError(400, f"The body is not JSON: {problem}.")
        problems = list(islice(self._problems(document), _SHOWN_ERRORS + 1)) or error.errors()[:1]
        errors = [_row_error(problem) for problem in problems[:_SHOWN_ERRORS]]
        count = ""
        if len(problems) > _SHOWN_ERRORS:
            count = f"More than {_SHOWN_ERRORS} problems; the first {_SHOWN_ERRORS} are listed. "
        elif len(problems) > 1:
            count = f"{len(problems)} problems. "
        return ProblemError(422, f"{count}{errors[0]}.", errors)

    def _problems(self, document: Any) -> Iterator[Mapping[str, Any]]:
        """The errors of a document, as pydantic describes them, found one after another."""
        rows = document.get("rows") if isinstance(document, dict) else None
        if not isinstance(rows, list) or not rows:
            alone = {name: document[name] for name in ("rows",) if name in document} if isinstance(document, dict) else document
            yield from _errors(self.request, alone)
        elif len(rows) > self.max_rows:
            message = f"List should have at most {self.max_rows} items after validation, not {len(rows)}"
            yield {"type": "too_long", "loc": ("rows",), "msg": message, "input": rows}
        else:
            for number, row in enumerate(rows):
                for problem in _errors(self.row, self._shortened(row)):
                    yield {**problem, "loc": ("rows", number, *problem["loc"])}
        for name in document if isinstance(document, dict) else ():
            if name != "rows":
                # Whatever the rows are: the errors of this field are looked for.
                problems = _errors(self.request, {name: document[name]})
                yield from (problem for problem in problems if problem["loc"][0] == name)

    def _shortened(self, row: Any) -> Any:
        """A row with no more unknown features than are shown."""
        if not isinstance(row, dict):
            return row
        unknown = islice((name for name in row if name not in self.features), _SHOWN_ERRORS + 1)
        kept = {*self.features, *unknown}
        return {name: value for name, value in row.items() if name in kept}


def make_contract(schema: ModelSchema, constraints: Mapping[str, SchemaFeature], gateway: Gateway) -> Contract:
    """Makes the contract of a model.

    Args:
      schema: the model's inputs and outputs.
      constraints: the constraints on its features, by name.
      gateway: the settings.
    """
    row: Any = _row_model(schema, constraints, gateway)
    rows: Any = Annotated[
        list[row], Field(min_length=1, max_length=gateway.max_rows, fail_fast=True, description="The rows, in any order.")
    ]
    request = create_model(
        "PredictRequest",
        __config__=ConfigDict(extra="forbid"),
        __doc__="Rows to be answered.",
        rows=(rows, ...),
        keys=(
            list[_Key | None] | None,
            Field(
                None,
                max_length=gateway.max_rows,
                fail_fast=True,
                description="A key of your own for each row, as many as rows, such as an order's number: the log has it.",
            ),
        ),
    )
    return Contract(schema.features, request, row, _response_model(schema), gateway.max_rows)


def merge(stable: ModelSchema, canary: ModelSchema | None) -> ModelSchema:
    """A schema for both versions: a feature that only the canary has may be given, and only it gets it."""
    return replace(stable, features={**canary.features, **stable.features}) if canary else stable


def _row_model(schema: ModelSchema, constraints: Mapping[str, SchemaFeature], gateway: Gateway) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    # A feature's name need not be one that Python can have: the fields are numbered.
    for number, (name, feature) in enumerate(schema.features.items()):
        constraint = constraints.get(name, SchemaFeature(name, "type_unknown"))
        kind = _list_kind(feature, constraint, name in constraints, gateway.enforce_domains)
        if constraint.is_required:
            fields[f"field_{number}"] = (kind, Field(alias=name, title=name))
        else:
            optional = Annotated[kind | None, BeforeValidator(_none_if_empty)] if feature.size else kind | None
            fields[f"field_{number}"] = (optional, Field(None, alias=name, title=name))
    given = {name: value for name, value in gateway.example.items() if name in schema.features}
    example = {**_example(schema, constraints), **given}
    config = ConfigDict(extra="forbid", json_schema_extra={"example": example})
    return create_model(
        "Row", __config__=config, __doc__="Values by feature; one without a value is left out, or null.", **fields
    )


def _list_kind(feature: ModelFeature, constraint: SchemaFeature, is_known: bool, enforce: bool) -> Any:
    """The type of a feature's value, which may be a list."""
    if not feature.is_list:
        return _kind(feature, constraint, is_known, enforce)
    kind: Any = _kind(replace(feature, is_list=False), constraint, is_known, enforce)
    return Annotated[list[kind | None], Field(min_length=feature.size, max_length=feature.size, fail_fast=True)]


def _kind(feature: ModelFeature, constraint: SchemaFeature, is_known: bool, enforce: bool) -> Any:
    """The type of one of a feature's values."""
    if feature.dtype == "DT_STRING":
        if constraint.is_closed and enforce:
            return Literal[constraint.values]
        return Annotated[str, Field(examples=list(constraint.values)[:5])] if constraint.values else str
    bounds = {"ge": constraint.smallest, "le": constraint.largest} if enforce else {"description": _range(constraint)}
    encode = _encoder(feature)
    if feature.dtype == "DT_FLOAT":
        return Annotated[float, Field(allow_inf_nan=False, **bounds), BeforeValidator(_number), AfterValidator(encode)]
    if constraint.is_unix_time or not is_known:
        text = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
        return Annotated[int, BeforeValidator(encode, json_schema_input_type=int | text)]
    return Annotated[int, Field(**bounds), BeforeValidator(_number), AfterValidator(encode)]


def _none_if_empty(value: Any) -> Any:
    """A list of a fixed length without values is no value."""
    return None if value == [] else value


def _encoder(feature: ModelFeature) -> Callable[[Any], Value | Values | None]:
    """A check by the client's own rules, which also turns times into seconds."""

    def encode(value: Any) -> Value | Values | None:
        if value is None or value != value:
            # To the client, these are missing values; pydantic decides whether a value may be missing.
            return None
        try:
            # To pydantic and the client, true is a number.
            return feature.encode("true" if isinstance(value, bool) else value)
        except FeatureError:
            raise ValueError(f"Input should be {_EXPECTED[feature.dtype]}") from None

    return encode


def _range(constraint: SchemaFeature) -> str | None:
    if constraint.smallest is None and constraint.largest is None:
        return None
    return f"Usually {_shown(constraint.smallest, 'any')} to {_shown(constraint.largest, 'any')}."


def _shown(bound: float | None, none: str) -> str:
    return none if bound is None else f"{bound:g}"


def _example(schema: ModelSchema, constraints: Mapping[str, SchemaFeature]) -> Row:
    """A row with all required features or, without any, with all features that the schema describes."""
    required = [name for name in schema.features if name in constraints and constraints[name].is_required]
    names = required or [name for name in schema.features if name in constraints]
    values = {name: _example_value(schema.features[name], constraints[name]) for name in names}
    return {name: value for name, value in values.items() if value is not None or name in required}


def _example_value(feature: ModelFeature, constraint: SchemaFeature) -> Any:
    value = _example_of_one(feature, constraint)
    return [value] * (feature.size or 1) if feature.is_list else value


def _example_of_one(feature: ModelFeature, constraint: SchemaFeature) -> Any:
    if feature.dtype == "DT_STRING":
        return constraint.values[0] if constraint.values else "text"
    if constraint.is_unix_time:
        return _EXAMPLE_TIME
    bounds = [bound for bound in (constraint.smallest, constraint.largest) if bound is not None]
    middle = sum(bounds) / len(bounds) if bounds else 0
    return int(middle) if feature.dtype == "DT_INT64" else middle


def _response_model(schema: ModelSchema) -> type[BaseModel]:
    fields: dict[str, Any] = {"model_version": (int, Field(description="The version of the model that answered."))}
    if LABELS in schema.outputs:
        fields["prediction"] = (
            str if schema.outputs[LABELS] == "DT_STRING" else int,
            Field(description="The class: of two by the model's threshold, of several the most probable one."),
        )
        fields["probability"] = (float, Field(description="The probability of the prediction."))
        if SCORE in schema.outputs:
            fields["score"] = (float, Field(description="The probability of the positive class."))
        fields["probabilities"] = (
            list[float],
            Field(description="The probability of each class, in the model's order; of two, the second is positive."),
        )
    else:
        fields["prediction"] = (float, Field(description="The prediction."))
    fields["explanation"] = (Explanation | None, Field(None, description="Only with explain=true."))
    prediction: Any = create_model("Prediction", __doc__="The prediction for one row.", **fields)
    return create_model(
        "PredictResponse",
        __doc__="The predictions.",
        model=(str, Field(description="The model's name.")),
        request_id=(str, Field(description="The request's X-Request-ID, or an id from the gateway.")),
        predictions=(list[prediction], Field(description="In the order of the rows.")),
    )


def _errors(model: type[BaseModel], value: Any) -> list[Any]:
    try:
        # From JSON again: errors then have the words of JSON.
        model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return []


def _row_error(problem: Any) -> RowError:
    kind, location = problem["type"], problem["loc"]
    in_row = len(location) > 1 and location[0] == "rows"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "The model has no such feature" if in_row else f"There is no field {location[0]!r}"
    elif kind == "missing":
        message = "This feature is required" if in_row else "The field 'rows' is required: a list of rows"
    elif location and not in_row:
        message = f"{location[0]}: {message}"
    shown = _beginning(problem["input"])
    return RowError(
        row=location[1] + 1 if in_row else None,
        feature=str(location[2]) if in_row and len(location) > 2 else None,
        message=message,
        seen=None if kind in ("missing", "extra_forbidden") else shown,
    )


def _beginning(value: Any) -> str:
    """The beginning of a value in JSON."""
    text = ""
    for part in json.JSONEncoder(default=repr).iterencode(value):
        text += part[: _SHOWN_CHARACTERS + 1]
        if len(text) > _SHOWN_CHARACTERS:
            return text[:_SHOWN_CHARACTERS] + "…"
    return text
