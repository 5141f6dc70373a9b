"""The gateway as an ASGI app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pipeline.config import Gateway
from pipeline.errors import ConveyorError
from serving.client import Prediction
from serving.gateway.access import Authenticator, Caller
from serving.gateway.cache import Cache, MemoryCache, NoCache, RedisCache
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.middleware import RequestMetrics
from serving.gateway.openapi import describe
from serving.gateway.prediction_log import PredictionLog
from serving.gateway.predictor import Predictor
from serving.gateway.problems import ProblemError, from_conveyor_error, respond
from serving.gateway.rate_limits import RateLimits
from serving.gateway.shared_store import SharedStore

_BODY_SECONDS = 30.0
"""The maximum number of seconds that a caller may take to send a request's body."""


class ServedVersion(BaseModel):
    """A version that a model server knows."""

    version: int
    state: str = Field(description="AVAILABLE, or another state of loading or unloading.")
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
        following = asyncio.create_task(parts.predictor.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
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
    return _Parts(gateway, metrics, predictor, Authenticator(gateway.access), RateLimits(store), log, store)


def _add_routes(app: FastAPI, parts: _Parts) -> None:
    predictor = parts.predictor

    async def limited(request: Request) -> Caller:
        caller = await parts.authenticator.caller(request)
        await parts.limits.count(caller)
        return caller

    @app.post("/v1/predict", dependencies=[Depends(limited)], summary="Predict", tags=["Predictions"])
    async def predict(request: Request) -> Response:
        """Answers one row or many."""
        contract = predictor.contract
        rows = contract.read(await _body(request, parts.gateway.max_body_bytes))
        request.scope["rows"] = len(rows)
        request_id = request.scope["request_id"]
        predictions = await predictor.predict(rows, contract.features, request_id)
        content = {
            "model": predictor.model,
            "request_id": request_id,
            "predictions": [_content(prediction) for prediction in predictions],
        }
        try:
            body = json.dumps(content, allow_nan=False)
        except ValueError:
            raise ProblemError(502, "The model answered with a value that is not a finite number.") from None
        if parts.log:
            parts.log.add(contract.features, rows, predictions, request_id)
        return Response(body, media_type="application/json")

    @app.get(
        "/v1/models", dependencies=[Depends(parts.authenticator.caller)], summary="The served versions", tags=["Predictions"]
    )
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

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        return respond(request, ProblemError(error.status_code, str(error.detail), headers=error.headers))


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


def _content(prediction: Prediction) -> dict[str, Any]:
    """A prediction by the names that `conveyor predict` and `score` have, and last by those of the gateway's first clients."""
    version = prediction.version
    if prediction.value is not None:
        return {"model_version": version, "prediction": prediction.value, "version": version, "value": prediction.value}
    score = {} if prediction.score is None else {"score": prediction.score}
    return {
        "model_version": version,
        "prediction": prediction.label,
        "probability": prediction.probability,
        **score,
        "probabilities": prediction.probabilities,
        "version": version,
        "label": prediction.label,
    }
