"""Predictions for rows: by which version, and from the cache or from a model server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client import Counter

from pipeline.config import Gateway
from pipeline.contracts.schema import Schema, SchemaFeature, read_schema
from pipeline.errors import ConveyorError
from serving.client import Address, ModelFeature, ModelSchema, Prediction
from serving.client.features import Row
from serving.errors import DeadlineError, NotExplainableError, ServerAwayError, UnknownModelError
from serving.gateway.cache import Cache
from serving.gateway.contract import Contract, make_contract, merge
from serving.gateway.logs import log
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.traffic import Traffic
from serving.gateway.trial import Trial
from serving.gateway.upstream import Upstream
from serving.rollout import CANARY, STABLE

_LOOK_SECONDS = 1.0
"""Seconds between two looks at the rollout's state and the model servers."""


class Predictor:
    """The model behind the gateway, whichever servers and versions answer at the moment.

    Args:
      gateway: the settings.
      metrics: counts and times.
      cache: keeps predictions.

    Raises:
      ConfigError: the schema of the features cannot be read.
    """

    def __init__(self, gateway: Gateway, metrics: GatewayMetrics, cache: Cache) -> None:
        self._gateway, self._metrics, self._cache = gateway, metrics, cache
        self._constraints: Mapping[str, SchemaFeature] = {}
        if gateway.feature_schema is not None:
            schema = read_schema(Path(gateway.feature_schema), fix="Name another schema: gateway.feature_schema.")
            self._constraints = Schema.of(schema).by_name
        self.traffic = Traffic(gateway.rollout)
        canary = Address.parse(gateway.upstream.canary or gateway.upstream.stable)
        self._upstreams = {
            STABLE: Upstream(Address.parse(gateway.upstream.stable), STABLE, gateway, metrics),
            CANARY: Upstream(canary, CANARY, gateway, metrics),
        }
        self.shadow = Upstream(canary, CANARY, gateway, metrics.shadow)
        """Asks the canary what no caller waits for."""
        self.trial = Trial(self.model, metrics)
        self._described: ModelSchema | None = None
        self.known_contract: Contract | None = None
        """The form of requests and responses; None until a model has answered."""
        self._place()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._stable.address.model

    @property
    def contract(self) -> Contract:
        """The form of requests and responses.

        Raises:
          ServerAwayError: no model has answered yet, or nobody knows which version is to.
        """
        if not self.traffic.is_known:
            raise ServerAwayError("The rollout's state cannot be read, so nobody knows which version is to answer.")
        if self.known_contract is None:
            raise ServerAwayError("No model has answered yet.", where=str(self._stable.address))
        return self.known_contract

    @property
    def version(self) -> int | None:
        """The stable version; None before a model answered."""
        return self._stable.version

    @property
    def is_ready(self) -> bool:
        """Whether the stable version answers."""
        return self.known_contract is not None and self._stable.failure is None

    async def predict(
        self,
        rows: Sequence[Row],
        features: Mapping[str, ModelFeature],
        request_id: str,
        *,
        role: str | None = None,
        explain: bool = False,
    ) -> list[Prediction]:
        """The predictions for rows, in their order.

        Args:
          rows: the rows that the contract has read.
          features: the contract's features, for which the rows are encoded.
          request_id: the request's id.
          role: the role of the version that is to answer, STABLE or CANARY; the rollout decides when None.
          explain: whether each comes with its explanation. None of them is then from the cache.

        Raises:
          ConveyorError: the errors are those of `serving.client.Client.predict`.
        """
        by_role: dict[str, list[int]] = defaultdict(list)
        for position, row in enumerate(rows):
            key = request_id if self._gateway.split_by is None else str(row.get(self._gateway.split_by))
            by_role[role or self.traffic.choose(key)].append(position)
        answer = self._explained if explain else self._cached
        parts = await asyncio.gather(
            *(answer(role, [rows[position] for position in positions], features) for role, positions in by_role.items())
        )
        answers = {
            position: prediction
            for positions, part in zip(by_role.values(), parts, strict=True)
            for position, prediction in zip(positions, part, strict=True)
        }
        return [answers[position] for position in range(len(rows))]

    async def follow(self) -> None:
        """Follows the rollout and the model servers until it is cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log(logging.ERROR, "looking at the model servers failed", failure=error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Reads the current state of the rollout and of the model servers."""
        self.traffic.read()
        if not self.traffic.is_known:
            return
        self._place()
        await asyncio.gather(*(upstream.refresh() for upstream in self._active))
        if self._stable.schema is None:
            return
        described = merge(self._stable.schema, self._tried.schema if self._tried else None)
        if described != self._described:
            self._described = described
            self.known_contract = make_contract(described, self._constraints, self._gateway)
            self._warn_of_unknown(described.features)

    async def versions(self) -> dict[int, str]:
        """The state of each version by number; where model servers differ, the best one.

        Raises:
          ConveyorError: the errors are those of `serving.client.Client.versions`, asked of the stable version's server.
        """
        found = list((await self._stable.versions()).items())
        if self._tried and self._tried.address != self._stable.address:
            with suppress(ConveyorError):
                found += (await self._tried.versions()).items()
        if (canary := self.traffic.state.canary) is not None:
            found.append((canary, "UNKNOWN"))
        # Of several states of a version, the last one counts.
        order = {"AVAILABLE": 2, "UNKNOWN": 0}
        return dict(sorted(found, key=lambda each: (each[0], order.get(each[1], 1))))

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(upstream.close() for upstream in (*self._upstreams.values(), self.shadow)))

    @property
    def _stable(self) -> Upstream:
        return self._upstreams[STABLE]

    @property
    def _active(self) -> list[Upstream]:
        """The upstreams that are asked."""
        return [self._stable, self._tried] if self._tried else [self._stable]

    @property
    def _tried(self) -> Upstream | None:
        """The upstream of the version that is tried, if there is one."""
        state = self.traffic.state
        if state.canary is None:
            return None
        return self.shadow if state.shadow else self._upstreams[CANARY]

    def _place(self) -> None:
        state = self.traffic.state
        self._upstreams[STABLE].place(state.stable)
        self._upstreams[CANARY].place(state.canary)
        self.shadow.place(state.canary)
        self._metrics.canary_percent.set(state.traffic)
        self._metrics.canary_is_shadow.set(state.shadow)
        self.trial.follow(state.placement)

    def _warn_of_unknown(self, features: Collection[str]) -> None:
        """Warns of unknown names: a misspelt one would log what is personal, or send every row to the same version."""
        gateway = self._gateway
        named = {*gateway.log.exclude, *gateway.example, *filter(None, [gateway.split_by])}
        if unknown := sorted(named.difference(features)):
            log(logging.WARNING, "the settings name features that the model does not have", features=unknown)

    async def _cached(self, role: str, rows: Sequence[Row], features: Mapping[str, ModelFeature]) -> list[Prediction]:
        """The predictions of a role's version: from the cache where it has them, otherwise from the model server."""
        model = self._upstreams[role].served
        known = [None] * len(rows) if model is None else await self._cache.get(model, rows)
        missing = [row for row, prediction in zip(rows, known, strict=True) if prediction is None]
        self._metrics.cache_hits.inc(len(rows) - len(missing))
        self._metrics.cache_misses.inc(len(missing))
        new: list[Prediction] = []
        if missing:
            failed = self._metrics.predictions
            new = await self._served(role, lambda upstream: upstream.predict(missing, features), len(missing), failed)
            await self._cache.put(missing, new)
        remaining = iter(new)
        predictions = [next(remaining) if prediction is None else prediction for prediction in known]
        self._metrics.count(predictions)
        return predictions

    async def _explained(self, role: str, rows: Sequence[Row], features: Mapping[str, ModelFeature]) -> list[Prediction]:
        """The predictions of a role's version with their explanations, which do not count for its verdict."""
        started = time.perf_counter()
        failed = self._metrics.explanations
        predictions = await self._served(role, lambda upstream: upstream.explain(rows, features), len(rows), failed)
        self._metrics.count_explanations(predictions, time.perf_counter() - started)
        return predictions

    async def _served(
        self, role: str, question: Callable[[Upstream], Awaitable[list[Prediction]]], num_rows: int, failed: Counter
    ) -> list[Prediction]:
        """The answer of a role's model server; the stable version answers for a canary that fails, which `failed` counts."""
        upstream = self._upstreams[role]
        try:
            if role == CANARY and upstream.failure is not None:
                raise upstream.failure
            return await question(upstream)
        except NotExplainableError:
            # The version is as it was trained: that does not count against a canary.
            raise
        except ConveyorError as error:
            # A canary that is not loaded yet has not failed.
            if role == STABLE or not isinstance(error, UnknownModelError):
                version = "unknown" if upstream.version is None else str(upstream.version)
                failed.labels(self.model, version, "error").inc(num_rows)
            if role == STABLE or isinstance(error, DeadlineError):
                raise
            log(logging.WARNING, "the canary failed: the stable version answers instead", error=error.what)
        return await self._served(STABLE, question, num_rows, failed)
