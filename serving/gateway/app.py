"""The gateway as an ASGI app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pipeline.config import Gateway
from pipeline.errors import ConveyorError
from serving.client import NOT_FINITE
from serving.gateway.access import Authenticator, Caller
from serving.gateway.answers import to_json
from serving.gateway.cache import Cache, MemoryCache, NoCache, RedisCache
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.middleware import RequestMetrics
from serving.gateway.openapi import describe
from serving.gateway.prediction_log import PredictionLog
from serving.gateway.predictor import Predictor
from serving.gateway.problems import ProblemError, RowError, from_conveyor_error, respond
from serving.gateway.rate_limits import RateLimits
from serving.gateway.shadow import Shadow
from serving.gateway.shared_store import SharedStore
from serving.rollout.verdict import MIN_ROWS

_Explain = Annotated[
    bool,
    Query(description="Say of each prediction how much each feature adds to it. This costs hundreds of predictions a row."),
]

_Version = Annotated[
    str | None,
    Header(
        alias="X-Conveyor-Version",
        description="Have this version answer, stable, canary, shadow or its number, for callers of access.choose_version.",
    ),
]

_BODY_SECONDS = 30.0
"""The maximum number of seconds that a caller may take to send a request's body."""


class ServedVersion(BaseModel):
    """A version that a model server knows."""

    version: int
    state: str = Field(description="AVAILABLE, or another state of loading or unloading; UNKNOWN: its server does not answer.")
    labels: list[str]


class ServedModel(BaseModel):
    """The model behind the gateway."""

    name: str
    versions: list[ServedVersion]
    canary_traffic: int = Field(description="The percentage of the traffic that the canary gets.")


class Models(BaseModel):
    """The served models."""

    models: list[ServedModel]


@dataclass(frozen=True)
class _Parts:
    gateway: Gateway
    metrics: GatewayMetrics
    predictor: Predictor
    authenticator: Authenticator
    limits: RateLimits
    log: PredictionLog | None
    shadow: Shadow
    store: SharedStore | None

    async def close(self) -> None:
        if self.log:
            await asyncio.to_thread(self.log.close)
        await self.predictor.close()
        await self.authenticator.close()
        if self.store:
            await self.store.close()


def create_app(gateway: Gateway) -> FastAPI:
    """The gateway of a model.

    It answers health checks at once, and predictions as soon as a model server does.

    Args:
      gateway: the settings, without placeholders in addresses and paths, as `serving.gateway.settings` makes them.

    Raises:
      ConfigError: the schema of the features cannot be read.
    """
    parts = _make_parts(gateway)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await parts.predictor.look()
        running = [asyncio.create_task(parts.predictor.follow()), asyncio.create_task(parts.shadow.run())]
        yield
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await parts.close()

    model = parts.predictor.model
    app = FastAPIOffline(
        title=f"Predictions by {model}",
        description=f"Answers rows with the model `{model}`. A feature without a value is left out.",
        version="v1",
        redoc_url=None,
        lifespan=lifespan,
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
    )
    app.add_middleware(RequestMetrics, metrics=parts.metrics)
    app.openapi = lambda: describe(app, parts.predictor.known_contract, parts.authenticator.schemes)  # type: ignore[method-assign]
    _add_errors(app)
    _add_routes(app, parts)
    _add_probes(app, parts)
    return app


def _make_parts(gateway: Gateway) -> _Parts:
    metrics = GatewayMetrics()
    store = SharedStore(gateway.cache.redis) if gateway.cache.redis else None
    cache: Cache
    if store:
        cache = RedisCache(store, gateway.cache.redis_seconds)
    else:
        cache = MemoryCache(gateway.cache.rows) if gateway.cache.rows else NoCache()
    predictor = Predictor(gateway, metrics, cache)
    log = PredictionLog(gateway.log, metrics.log_dropped) if gateway.log.folder and gateway.log.sample else None
    shadow = Shadow(predictor, metrics.shadow, log)
    return _Parts(gateway, metrics, predictor, Authenticator(gateway.access), RateLimits(store), log, shadow, store)


def _add_routes(app: FastAPI, parts: _Parts) -> None:
    predictor = parts.predictor

    async def known(request: Request) -> Caller:
        try:
            return await parts.authenticator.caller(request)
        except ProblemError as problem:
            if problem.status == HTTPStatus.UNAUTHORIZED:
                await parts.limits.count(parts.authenticator.stranger(request))
            raise

    async def limited(request: Request) -> Caller:
        caller = await known(request)
        await parts.limits.count(caller)
        return caller

    known_caller = Depends(limited)

    @app.post("/v1/predict", summary="Predict", tags=["Predictions"])
    async def predict(
        request: Request, explain: _Explain = False, version: _Version = None, caller: Caller = known_caller
    ) -> Response:
        """Answers one row or many."""
        role = None if version is None else _chosen(version, caller, parts)
        contract = predictor.contract
        question = contract.read(await _body(request, parts.gateway.max_body_bytes))
        rows = question.rows
        request.scope["rows"] = len(rows)
        request_id = request.scope["request_id"]
        if explain:
            _require_explainable(len(rows), parts.gateway.max_explained_rows)
        predictions = await predictor.predict(rows, contract.features, request_id, role=role, explain=explain)
        content = {
            "model": predictor.model,
            "request_id": request_id,
            "predictions": [to_json(prediction) for prediction in predictions],
        }
        try:
            body = json.dumps(content, allow_nan=False)
        except ValueError:
            raise ProblemError(502, NOT_FINITE) from None
        if parts.log:
            parts.log.add(contract.features, question, predictions, request_id)
        if role is None and not explain:
            parts.shadow.add(contract.features, question, predictions, request_id)
        return Response(body, media_type="application/json")

    @app.get("/v1/models", dependencies=[Depends(known)], summary="The served versions", tags=["Predictions"])
    async def models() -> Models:
        """The versions of the model, and which of them are stable and canary."""
        state = predictor.traffic.state
        labels = state.placement.labels
        served = [
            ServedVersion(version=number, state=stands, labels=[label for label, it in labels.items() if it == number])
            for number, stands in (await predictor.versions()).items()
        ]
        return Models(models=[ServedModel(name=predictor.model, versions=served, canary_traffic=state.traffic)])


def _add_probes(app: FastAPI, parts: _Parts) -> None:
    @app.get("/healthz", summary="Does the gateway run", tags=["Operation"])
    async def healthz() -> dict[str, str]:
        """Whether the process answers, whatever the model server does."""
        return {"status": "ok"}

    @app.get("/readyz", summary="Can it answer", tags=["Operation"])
    async def readyz() -> dict[str, Any]:
        """Whether the stable version answers."""
        if not parts.predictor.is_ready:
            raise ProblemError(503, "The model does not answer.")
        return {"status": "ready", "model": parts.predictor.model, "version": parts.predictor.version}

    @app.get("/rollout", summary="The version that is tried", tags=["Operation"])
    async def rollout(min_rows: Annotated[int, Query(ge=1)] = MIN_ROWS) -> dict[str, Any]:
        """The verdict on a canary or a shadow, pass, fail, undecided or none, by what this gateway alone has counted."""
        return await asyncio.to_thread(parts.predictor.trial.document, min_rows)

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["Operation"], response_class=Response)
    async def metrics() -> Response:
        """Counts and times."""
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return respond(request, error)

    @app.exception_handler(ConveyorError)
    async def conveyor_error(request: Request, error: ConveyorError) -> Response:
        request.scope["error"] = f"{type(error).__name__}: {error.what}"
        return respond(request, from_conveyor_error(error))

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(request: Request, error: RequestValidationError) -> Response:
        errors = [RowError(message=f"{each['loc'][-1]}: {each['msg']}", seen=str(each["input"])) for each in error.errors()]
        return respond(request, ProblemError(422, f"{errors[0]}.", errors))

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        return respond(request, ProblemError(error.status_code, str(error.detail), headers=error.headers))


def _chosen(version: str, caller: Caller, parts: _Parts) -> str:
    """The role of the version that a caller asks for.

    Raises:
      ProblemError: the caller may not choose, or no such version serves.
    """
    if not parts.authenticator.may_choose(caller):
        raise ProblemError(HTTPStatus.FORBIDDEN, "You may not choose a version: access.choose_version does not name you.")
    role = parts.predictor.traffic.named(version, parts.predictor.version)
    if role is None:
        serving = parts.predictor.traffic.state.placement
        problem = RowError(message=f"what serves is {serving}", seen=version)
        raise ProblemError(422, "X-Conveyor-Version names no version that serves.", [problem])
    return role


def _require_explainable(num_rows: int, most: int) -> None:
    """Refuses a request whose rows are too many to be explained.

    Raises:
      ProblemError: they are.
    """
    if num_rows > most:
        seen = "This gateway explains no predictions" if most == 0 else f"A request with explain=true may have {most:,} rows"
        raise ProblemError(422, f"{seen}.", [RowError(message=f"gateway.max_explained_rows is {most}", seen=str(num_rows))])


async def _body(request: Request, limit: int) -> bytes:
    """Reads the body of a request, up to its limit.

    Raises:
      ProblemError: it is too large, or does not come.
    """
    too_large = ProblemError(413, f"The body may have {limit:,} bytes at the most.", headers={"Connection": "close"})
    length = request.headers.get("Content-Length", "0")
    if length.isdecimal() and int(length) > limit:
        raise too_large

    async def read() -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_large
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), _BODY_SECONDS)
    except ClientDisconnect:
        # Nobody will read this answer.
        raise ProblemError(400, "The connection closed before the body was complete.") from None
    except asyncio.TimeoutError:
        raise ProblemError(408, "The body did not come in time.", headers={"Connection": "close"}) from None
