"""A log of what was asked, and a model server with a stable version and a candidate."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, Counter

from pipeline.config import PipelineConfig
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.monitoring.labels import LabelStore, import_labels
from pipeline.monitoring.sources import log_of
from serving.client import ModelFeature, Prediction
from serving.gateway.contract import Question
from serving.gateway.prediction_log import PredictionLog
from tests.fakes.model_server import FEATURES, Columns, ModelServer

STABLE, CANDIDATE = 3, 4


def score(row: Mapping[str, Any]) -> float:
    """The score of the stable version."""
    return float(row["distance"]) / 1000


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {
            "name": "flights",
            "label": "late",
            "data": {"input": "x.csv"},
            "workspace": str(tmp_path),
            "evaluation": {"slices": ["carrier"]},
        }
    )


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """It has both versions, which answer alike: a row is late if it flies far."""
    server = ModelServer()
    server.versions = {STABLE: "AVAILABLE", CANDIDATE: "AVAILABLE"}
    play(server, lambda row: score(row))
    yield server
    server.stop()


def play(server: ModelServer, candidate: Callable[[Mapping[str, Any]], float]) -> None:
    """Has the candidate answer with the scores of a function."""

    plain = ModelServer.predict.__get__(server)

    def predict(spec: Any, columns: Columns) -> tuple[int, dict[str, list[Any]]]:
        answers = candidate if spec.version.value == CANDIDATE else score
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        scores = [answers({**row, "carrier": row["carrier"].decode()}) for row in rows]
        version, _ = plain(spec, columns)
        probabilities = [share for each in scores for share in (1 - each, each)]
        return version, {"labels": [int(each > 0.5) for each in scores], "probabilities": probabilities, "score": scores}

    server.predict = predict  # type: ignore[method-assign]


def play_classes(server: ModelServer, answers: Callable[[int, Mapping[str, Any]], list[float]]) -> None:
    """Has both versions answer with the probabilities of a function of version and row."""

    def predict(spec: Any, columns: Columns) -> tuple[int, dict[str, list[Any]]]:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        shares = [answers(spec.version.value, row) for row in rows]
        return spec.version.value, {
            "labels": [max(range(len(each)), key=each.__getitem__) for each in shares],
            "probabilities": [share for each in shares for share in each],
        }

    server.predict = predict  # type: ignore[method-assign]


def describe(config: PipelineConfig, version: int, classes: list[int]) -> None:
    """Has a version describe itself."""
    path = config.serving_path / str(version) / DESCRIPTION_PATH
    path.parent.mkdir(parents=True)
    path.write_text(ModelDescription(classes=classes).to_json())


Write = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def write(config: PipelineConfig) -> Write:
    """Logs rows as the gateway does, and returns them; each is a request of its own."""

    def _write(rows: int = 600, *, features: Mapping[str, str] = FEATURES, seed: int = 7) -> list[dict[str, Any]]:
        drawn = random.Random(seed)
        known = {name: ModelFeature(name, dtype) for name, dtype in features.items()}
        settings = config.gateway.log.model_copy(update={"folder": config.resolve(config.gateway.log.folder or "")})
        log = PredictionLog(settings, Counter("dropped", "", registry=CollectorRegistry()))
        written = []
        for number in range(rows):
            values = {"carrier": drawn.choice(["AA", "UA"]), "departure": number, "distance": drawn.uniform(0, 1000)}
            row = {name: values.get(name, "x") for name in features}
            answer = Prediction("flights", STABLE, 0.01, label=0, probability=0.5, probabilities=(0.5, 0.5), score=0.5)
            log.add(known, Question([row], [None]), [answer], f"order-{number}")
            written.append(values)
        log.close()
        return written

    return _write


@pytest.fixture
def label(config: PipelineConfig) -> Callable[[list[dict[str, Any]], Callable[[Mapping[str, Any]], int]], None]:
    """Imports what really came of rows."""

    def _label(rows: list[dict[str, Any]], really: Callable[[Mapping[str, Any]], int]) -> None:
        names = [f"order-{number}" for number in range(len(rows))]
        table = pd.DataFrame({"prediction_request_id": names, "late": [really(row) for row in rows]})
        import_labels(log_of(config), LabelStore.of(config), table, "late", replace=False)

    return _label
