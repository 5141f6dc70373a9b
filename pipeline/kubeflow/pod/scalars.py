"""The numbers by which the dashboard compares runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pipeline.report.read.evaluation import EXAMPLE_COUNT
from pipeline.report.read.run_details import RunFacts
from pipeline.report.read.training import VALIDATION


def scalars_of(facts: RunFacts, node_ids: Sequence[str]) -> dict[str, float]:
    """The numbers that nodes have to tell; what is unknown or no number, such as a precision without positives, is left out.

    Args:
      facts: what is known of the run so far.
      node_ids: the nodes.
    """
    found = {name: value for node in node_ids if node in _SCALARS for name, value in _SCALARS[node](facts).items()}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _example_gen(facts: RunFacts) -> dict[str, float | None]:
    spans = {f"spans_{split}": len(source.spans) for split, source in facts.data.sources.items() if source.spans}
    files = {f"files_{split}": len(source.files) for split, source in facts.data.sources.items()}
    newest = max((span for source in facts.data.sources.values() for span in source.spans), default=None)
    return {**_rows(facts.data.rows), **files, **spans, "newest_span": newest}


def _statistics_gen(facts: RunFacts) -> dict[str, float | None]:
    return {**_rows(facts.statistics.rows), "features": len(facts.statistics.features)} if facts.statistics else {}


def _example_validator(facts: RunFacts) -> dict[str, float | None]:
    return {"anomalies": len(facts.anomalies.found)} if facts.anomalies else {}


def _tuner(facts: RunFacts) -> dict[str, float | None]:
    search = facts.search
    return {"trials": len(search.trials), "best_val_loss": search.trials[0].score} if search and search.trials else {}


def _trainer(facts: RunFacts) -> dict[str, float | None]:
    training = facts.training
    if training is None or not training.epochs:
        return {}
    best = training.best_epoch or len(training.epochs)
    reached = training.epochs[best - 1]
    return {
        # Not by their bare names, which are the Evaluator's.
        **{f"train_{name}": reached.get(name) for name in training.metrics},
        **{f"{VALIDATION}{name}": reached.get(f"{VALIDATION}{name}") for name in training.metrics},
        "epochs": len(training.epochs),
        "best_epoch": best,
        "training_seconds": training.seconds,
        "parameters": facts.saved_model.parameters if facts.saved_model else None,
    }


def _evaluator(facts: RunFacts) -> dict[str, float | None]:
    if facts.evaluation is None:
        return {}
    overall = facts.evaluation.overall.metrics.items()
    metrics = {name: comparison.candidate for name, comparison in overall}
    baseline = {f"{name}_baseline": comparison.baseline for name, comparison in overall if name != EXAMPLE_COUNT}
    return {**metrics, **baseline, "blessed": facts.blessed}


def _infra_validator(facts: RunFacts) -> dict[str, float | None]:
    properties = facts.infra_blessing.properties if facts.infra_blessing else {}
    names = ("requests", "load_seconds", "latency_p50_ms", "latency_p99_ms")
    return {**{name: properties.get(name) for name in names}, "can_be_served": properties.get("blessed")}


def _pusher(facts: RunFacts) -> dict[str, float | None]:
    if not facts.run.completed("Pusher"):
        return {}
    return {"pushed": bool(facts.version), "version": int(facts.version) if facts.version.isdecimal() else None}


def _rows(rows: Mapping[str, int]) -> dict[str, float | None]:
    return {f"rows_{split}": count for split, count in rows.items()}


_SCALARS: Mapping[str, Callable[[RunFacts], Mapping[str, float | None]]] = {
    "ExampleGen": _example_gen,
    "StatisticsGen": _statistics_gen,
    "ExampleValidator": _example_validator,
    "Tuner": _tuner,
    "Trainer": _trainer,
    "Evaluator": _evaluator,
    "InfraValidator": _infra_validator,
    "Pusher": _pusher,
}
NODES_WITH_SCALARS = frozenset(_SCALARS)
