"""What a pipeline's own workspace proves, and what Conveyor's tests prove of the code that the pipeline takes from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline import nodes
from pipeline.report import formats
from pipeline.scorecard.card import NOTHING, Evidence
from pipeline.scorecard.facts import Facts

_FRESH_DAYS = 30
_Rule = Callable[[Facts], Evidence]


def evidence(facts: Facts, conveyors: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """What is shown of a pipeline.

    Args:
      facts: what its workspace shows.
      conveyors: what Conveyor's own tests prove, by the tests' ids; it counts where the pipeline has the code that was tested.
    """
    shown = {name: rule(facts) for name, rule in _RULES.items()}
    for name, uses in FROM_CONVEYOR.items():
        reason = uses(facts)
        if reason:
            proof = conveyors.get(name, NOTHING)
            shown[name] = Evidence(proof.points, f"{reason}; {proof.shown}" if proof.shown else reason)
    return shown


def _schema(facts: Facts) -> Evidence:
    if facts.config.schema_source.path is None or not facts.ran(nodes.EXAMPLE_VALIDATOR):
        return NOTHING
    if facts.config.schema_source.on_anomaly == "warn":
        return Evidence(0.5, "the schema is curated, but data that breaks it does not stop the run")
    return Evidence(1.0, f"{facts.config.schema_source.path}; the newest run was checked by it")


def _beneficial(facts: Facts) -> Evidence:
    importance = facts.run.importance if facts.run else None
    if importance is None:
        return NOTHING
    useless = sum(column.upper <= 0 for column in importance.columns)
    return Evidence(1.0, f"columns that the newest run has measured: {len(importance.columns)}; certainly of no use: {useless}")


def _reviewed(facts: Facts) -> Evidence:
    provenance = facts.runs[0].provenance if facts.runs else None
    if provenance is None or not provenance.commit or provenance.changed != []:
        return NOTHING
    return Evidence(0.5, f"the newest run is of commit {provenance.commit[:12]}, unchanged; that it was reviewed is not shown")


def _online(facts: Facts) -> Evidence:
    return _labels(facts, "labels of {days} of predictions are compared with the evaluation")


def _quality(facts: Facts) -> Evidence:
    return _labels(facts, "labels of {days} of predictions give their quality")


def _labels(facts: Facts, shown: str) -> Evidence:
    days = facts.days_with_labels
    if not days:
        return NOTHING
    told = shown.format(days="one day" if days == 1 else f"{days} days")
    if facts.config.loop.quality is not None and facts.loop_is_alive:
        return Evidence(1.0, f"{told}, and the loop bounds it")
    return Evidence(0.5, f"{told}, when somebody asks for it")


def _tuned(facts: Facts) -> Evidence:
    if facts.ran(nodes.TUNER):
        return Evidence(1.0, "the newest run searched, or took the result of the search before")
    return Evidence(0.5, "an earlier run searched") if facts.has_run(nodes.TUNER) else NOTHING


def _staleness(facts: Facts) -> Evidence:
    return Evidence(0.5, f"{facts.backtest}") if facts.backtest else NOTHING


def _simpler(facts: Facts) -> Evidence:
    training = facts.run.training if facts.run else None
    if training and any(member.get("kind") == "linear" for member in training.members):
        return Evidence(1.0, "a linear model stands beside the others in each run, with its weight and its metrics")
    if facts.run and facts.run.blessed is not None:
        return Evidence(0.5, "each run compares with always saying the same, but with no other simple model")
    return NOTHING


def _slices(facts: Facts) -> Evidence:
    evaluation = facts.config.evaluation
    if not facts.ran(nodes.EVALUATOR):
        return NOTHING
    if evaluation.slice_thresholds:
        return Evidence(1.0, f"evaluation.slice_thresholds: {', '.join(evaluation.slice_thresholds)}")
    return Evidence(0.5, "the report shows slices, but none has a bound") if evaluation.slices else NOTHING


def _inclusion(facts: Facts) -> Evidence:
    gaps = facts.config.evaluation.max_gaps
    return Evidence(1.0, f"evaluation.max_gaps: {', '.join(gaps)}") if gaps and facts.ran(nodes.EVALUATOR) else NOTHING


def _validated(facts: Facts) -> Evidence:
    if facts.run is None or facts.run.blessed is None:
        return NOTHING
    verdict = "blessed" if facts.run.blessed else "refused"
    if facts.ran(nodes.INFRA_VALIDATOR) or not facts.run.blessed:
        return Evidence(1.0, f"the Evaluator {verdict} the model of the newest run")
    return Evidence(0.5, f"the Evaluator {verdict} it, but whether it can be served was not tried")


def _canary(facts: Facts) -> Evidence:
    by_loop = sum(entry.action.value == "start" and entry.state.value == "ended" for entry in facts.loop)
    if by_loop:
        return Evidence(1.0, f"versions that the loop has tried as canaries: {by_loop}")
    tried = facts.rolled("start")
    return Evidence(0.5, f"canaries that were started by hand: {tried}") if tried else NOTHING


def _rollback(facts: Facts) -> Evidence:
    practised = facts.rolled("rollback") + facts.rolled("abort")
    if practised:
        return Evidence(1.0, f"rollbacks and aborts in the rollout's history: {practised}")
    if facts.rollout.previous:
        return Evidence(0.5, f"version {facts.rollout.previous[-1]} is kept for it, but it was not practised")
    return NOTHING


def _dependencies(facts: Facts) -> Evidence:
    if facts.updater is None:
        return NOTHING
    if not facts.packages_are_watched:
        return Evidence(0.5, f"{facts.updater} watches the actions of workflows, but no packages")
    return Evidence(1.0, str(facts.updater))


def _invariants(facts: Facts) -> Evidence:
    if facts.config.schema_source.path and facts.config.loop.drift and facts.loop_is_alive:
        return Evidence(1.0, "the schema checks what a run reads, and the loop looks at what is served")
    return Evidence(0.5, f"{facts.monitoring_page}, made by hand") if facts.monitoring_page else NOTHING


def _stale(facts: Facts) -> Evidence:
    loop = facts.config.loop
    if facts.loop_is_alive and (loop.new_span or loop.max_age_days):
        return Evidence(1.0, "the loop retrains when there is a reason")
    days = facts.pushed_days_ago
    if days is not None and days < _FRESH_DAYS:
        return Evidence(0.5, f"the newest version was pushed {formats.age(days * 86_400)} ago, but nothing retrains by itself")
    return NOTHING


def _speed(facts: Facts) -> Evidence:
    tried = facts.rolled("start")
    return Evidence(0.5, f"canaries whose latency was compared: {tried}; the time of training is not") if tried else NOTHING


def _debugging(facts: Facts) -> str:
    return "training.explainable" if facts.has_pushed and facts.config.training.explainable else ""


def _pushed(facts: Facts) -> str:
    return "the newest run pushed a version" if facts.has_pushed else ""


def _own_preprocessing(facts: Facts) -> str:
    return "" if facts.config.preprocessing.preprocessing_fn or not facts.runs else "Conveyor's preprocessing"


def _own_model(facts: Facts) -> str:
    return "" if facts.config.model.build_model or not facts.runs else "Conveyor's model"


_RULES: Mapping[str, _Rule] = {
    "schema": _schema,
    "beneficial": _beneficial,
    "reviewed": _reviewed,
    "online": _online,
    "tuned": _tuned,
    "staleness": _staleness,
    "simpler": _simpler,
    "slices": _slices,
    "inclusion": _inclusion,
    "validated": _validated,
    "canary": _canary,
    "rollback": _rollback,
    "dependencies": _dependencies,
    "invariants": _invariants,
    "stale": _stale,
    "speed": _speed,
    "quality": _quality,
}
FROM_CONVEYOR: Mapping[str, Callable[[Facts], str]] = {
    "new_features": _pushed,
    "input_code": _own_preprocessing,
    "reproducible": _own_model,
    "model_code": _own_model,
    "integration": _pushed,
    "debugging": _debugging,
    "skew": _pushed,
    "numerics": _pushed,
}
"""The tests that Conveyor's own can prove of a pipeline, and why they do, in words; empty where they do not."""
