"""What comes from Redis, into which other programs may write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import Prediction
from serving.gateway.access import Caller
from serving.gateway.answers import Served
from serving.gateway.cache import RedisCache
from serving.gateway.problems import ProblemError
from serving.gateway.rate_limits import RateLimits
from serving.gateway.shared_store import SharedStore

DIGEST = "c0ffee"
KEPT = Prediction("flights", 3, 0.01, label=1, probability=0.7, probabilities=(0.3, 0.7), score=0.7, digest=DIGEST)
NUMBER = Prediction("flights", 3, 0.01, value=7.5, digest=DIGEST)


class Store:
    """A Redis that answers every question with the same texts."""

    def __init__(self, *texts: bytes | None) -> None:
        self._texts = list(texts)
        self.redis = self

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        return self._texts

    async def attempt(self, call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()


def kept(text: bytes | None) -> Prediction | None:
    store: Any = Store(text)
    (found,) = asyncio.run(RedisCache(store, 60).get(Served("flights", 3, DIGEST), [{"distance": 1.0}]))
    return found


def changed(prediction: Prediction = KEPT, **fields: Any) -> bytes:
    return json.dumps(asdict(prediction) | fields).encode()


@pytest.mark.parametrize("prediction", [KEPT, NUMBER])
def test_a_prediction_comes_back_as_it_was_put(prediction: Prediction) -> None:
    assert kept(changed(prediction)) == prediction
    assert kept(None) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"model":' * 100_000,
        changed(version=4),
        changed(version="3"),
        changed(model="another"),
        changed(digest="decaf"),
        changed(digest=""),
        changed(digest=None),
        changed(score=7.0),
        changed(score=float("nan")),
        changed(probability="0.7"),
        changed(probabilities=[0.3, "x"]),
        changed(probabilities=0.3),
        changed(label=[1]),
        changed(label=None),
        changed(value=7.0),
        changed(explanation={}),
        changed(more="x" * 2_000_000),
        changed(NUMBER, value=float("inf")),
        changed(NUMBER, value=None),
    ],
)
def test_what_is_no_prediction_of_this_version_is_not_used(text: bytes) -> None:
    assert kept(text) is None


@given(
    st.binary()
    | st.builds(
        lambda content, at, byte: content[:at] + bytes([byte]) + content[at + 1 :],
        st.just(changed()),
        st.integers(0, 150),
        st.integers(0, 255),
    )
)
@settings(max_examples=300)
def test_any_bytes_are_a_prediction_or_nothing(text: bytes) -> None:
    found = kept(text)

    assert found is None or (found.model, found.version) == ("flights", 3)


@pytest.mark.usefixtures("in_mid_minute")
def test_a_count_that_is_no_number_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def garbage(call: Any) -> Any:
        raise ValueError("invalid literal for int() with base 10: b'x'")

    store = SharedStore("redis://127.0.0.1:1/0")
    monkeypatch.setattr(store, "attempt", garbage)
    limits, caller = RateLimits(store), Caller("shop", "1/minute", "key")

    async def ask() -> None:
        await limits.count(caller)
        with pytest.raises(ProblemError, match="Rate limit exceeded"):
            await limits.count(caller)

    asyncio.run(ask())
