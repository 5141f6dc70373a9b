"""The answer to a request that fails: a problem body (RFC 9457), which does not reveal the gateway's inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from pipeline.errors import ConveyorError, DataError
from serving.errors import DeadlineError, NotExplainableError, ServerAwayError, UnknownModelError

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
_RETRY_SECONDS = "1"


class RowError(BaseModel):
    """An error in a row."""

    row: int | None = Field(None, description="Its number, counted from 1; null: the request as a whole.")
    feature: str | None = Field(None, description="The feature; null: the row as a whole.")
    message: str = Field(description="The error; usually, what was expected.")
    seen: str | None = Field(None, description="The value that was found.")

    def __str__(self) -> str:
        row = "" if self.row is None else f"row {self.row}"
        feature = "" if self.feature is None else f"feature {self.feature!r}"
        place = ", ".join(filter(None, (row, feature)))
        return f"{place}: {self.message}" if place else self.message


class Problem(BaseModel):
    """The reason why a request was not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "row 1, feature 'distance': Input should be a number.",
                "request_id": "7daf5f9177e94b20a21a5471b18467a0",
                "errors": [{"row": 1, "feature": "distance", "message": "Input should be a number", "seen": '"far"'}],
            }
        }
    )

    title: str = Field(description="The kind of problem.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="The cause of the problem.")
    request_id: str = Field(description="The request's id, which is also in the gateway's log.")
    errors: list[RowError] = Field(default_factory=list, description="The errors, by row and feature.")


@dataclass(eq=False)
class ProblemError(Exception):
    """Ends a request with a problem.

    Attributes:
      status: the HTTP status.
      detail: the cause.
      errors: the errors by row and feature.
      headers: further headers of the response.
    """

    status: int
    detail: str
    errors: Sequence[RowError] = ()
    headers: Mapping[str, str] | None = None


def from_conveyor_error(error: ConveyorError) -> ProblemError:
    """The problem that a caller sees for an error of the model server or its client.

    Args:
      error: the client's error.
    """
    if isinstance(error, DeadlineError):
        return ProblemError(504, "The model did not answer in time.", headers={"Retry-After": _RETRY_SECONDS})
    if isinstance(error, ServerAwayError | UnknownModelError):
        return ProblemError(503, "The model is not available at the moment.", headers={"Retry-After": _RETRY_SECONDS})
    if isinstance(error, NotExplainableError):
        return ProblemError(422, error.what, [RowError(message=error.expected)])
    if isinstance(error, DataError):
        # `where` is left out: it numbers the rows of a call that other requests may share.
        return ProblemError(422, error.what, [RowError(message=error.expected or error.seen, seen=error.seen)])
    return ProblemError(502, "The model server failed.")


def respond(request: Request, problem: ProblemError) -> Response:
    """The response to a request that ended with a problem."""
    body: dict[str, Any] = {
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request.scope.get("request_id", ""),
    }
    if problem.errors:
        body["errors"] = [error.model_dump(exclude_none=True) for error in problem.errors]
    return JSONResponse(body, problem.status, dict(problem.headers or {}), MEDIA_TYPE)
