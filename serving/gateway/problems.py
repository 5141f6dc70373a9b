"""What a caller is told when a request cannot be answered: a problem body (RFC 9457), without a word about the inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from pipeline.errors import ConveyorError, DataError
from serving.errors import DeadlineError, ServerAwayError, UnknownModelError

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
_RETRY_SECONDS = "1"


class RowError(BaseModel):
    """What is wrong with a row."""

    row: int | None = Field(None, description="Its number, counted from 1; null: the request as a whole.")
    feature: str | None = Field(None, description="The feature; null: the row as a whole.")
    message: str = Field(description="What was expected.")
    seen: str | None = Field(None, description="What was found.")

    def __str__(self) -> str:
        row = "" if self.row is None else f"row {self.row}"
        feature = "" if self.feature is None else f"feature {self.feature!r}"
        place = ", ".join(filter(None, (row, feature)))
        return f"{place}: {self.message}" if place else self.message


class Problem(BaseModel):
    """Why a request was not answered."""

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

    title: str = Field(description="What kind of problem it is.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened.")
    request_id: str = Field(description="For questions: the gateway's log has it, too.")
    errors: list[RowError] = Field(default_factory=list, description="What is wrong, by row and feature.")


@dataclass(eq=False)
class ProblemError(Exception):
    """Ends a request with a problem.

    Attributes:
      status: of HTTP.
      detail: what happened.
      errors: by row and feature.
      headers: further ones of the response.
    """

    status: int
    detail: str
    errors: Sequence[RowError] = ()
    headers: Mapping[str, str] | None = None


def from_conveyor_error(error: ConveyorError) -> ProblemError:
    """The problem that a caller sees for what the model server or its client said.

    Args:
      error: of the client.
    """
    if isinstance(error, DeadlineError):
        return ProblemError(504, "The model did not answer in time.", headers={"Retry-After": _RETRY_SECONDS})
    if isinstance(error, ServerAwayError | UnknownModelError):
        return ProblemError(503, "The model is not there at the moment.", headers={"Retry-After": _RETRY_SECONDS})
    if isinstance(error, DataError):
        # Not where: a row's number is that in a call which others may share.
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
