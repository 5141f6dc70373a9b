"""What a loop does as metrics of Prometheus, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipeline.loop.journal import Action, Entry, State


def render(model: str, entries: Sequence[Entry], decided: float, *, paused: bool) -> str:
    """The metrics in Prometheus' text format. Alerts and boards read them: names and labels must stay.

    Args:
      model: the pipeline's name.
      entries: the journal.
      decided: when the loop has last decided, in seconds since 1970.
      paused: whether a person has paused it.
    """
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float, **labels: str) -> None:
        full = f"conveyor_loop_{name}"
        metric = gauges.get(full) or Gauge(full, text, ("model", *labels), registry=registry)
        gauges[full] = metric
        metric.labels(model, *labels.values()).set(value)

    gauges: dict[str, Gauge] = {}
    latest = {each.number: each for each in entries if each.action is not Action.WAIT}
    gauge("decided_seconds", "When the loop has last decided, in seconds since 1970.", decided)
    gauge("paused", "Whether a person has paused it.", paused)
    waits = bool(entries) and entries[-1].needs_approval
    gauge("needs_approval", "Whether it waits for a person's approval.", waits)
    last = next(reversed(latest.values()), None)
    begun = last.at if last is not None and last.state is State.BEGUN else 0.0
    gauge("action_began_seconds", "When what it is doing began, in seconds since 1970; 0 where it does nothing.", begun)
    gauge("failures", "How often in a row its last action has failed or was cut off.", _failures(list(latest.values())))
    for action in Action:
        ended = [each.at for each in latest.values() if each.action is action and each.state is State.ENDED]
        if ended:
            gauge("ended_seconds", "When an action has last ended well, in seconds since 1970.", ended[-1], action=action.value)
    return generate_latest(registry).decode()


def _failures(actions: list[Entry]) -> int:
    if not actions:
        return 0
    same = [each for each in actions if (each.action, each.key) == (actions[-1].action, actions[-1].key)]
    failures = 0
    for number, each in enumerate(reversed(same)):
        if each.state is State.ENDED:
            break
        # What has just begun may end well.
        failures += number > 0 or each.state is State.FAILED
    return failures
