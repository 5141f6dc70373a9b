"""What the pods of a run cost, by a list of prices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.config import Kubeflow
from pipeline.config.prices import Prices
from pipeline.errors import UsageError
from pipeline.kubeflow.costs import costs_of
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState

PRICES = Prices(currency="EUR", cpu_hour=0.04, gib_hour=0.005, accelerator_hour={"nvidia.com/gpu": 0.7})


def kubeflow(**fields: Any) -> Kubeflow:
    return Kubeflow.model_validate(
        {"resources": {"cpu_request": "500m", "memory_request": "2Gi"}, "nodes": {"Trainer": {"cpu_request": 4}}, **fields}
    )


def outcome(config: dict[str, Any] | None = None) -> RunOutcome:
    """A run of an hour and a half: two nodes that share a pod, the Trainer for an hour, and a node that did not start."""
    times = {"ExampleGen": (0.0, 600.0), "Transform": (900.0, 1800.0), "Trainer": (1800.0, 5400.0), "Pusher": (None, None)}
    before: list[str] = []
    nodes = {}
    for name, (started, ended) in times.items():
        state = NodeState.BLOCKED if started is None else NodeState.COMPLETE
        nodes[name] = NodeOutcome(upstream=list(before), state=state, started=started, ended=ended)
        before = [name]
    return RunOutcome(
        run_id="first",
        pipeline="flights",
        state=RunState.COMPLETE,
        started=0.0,
        ended=5400.0,
        config=config or {},
        nodes=nodes,
    )


def test_a_pod_costs_what_is_set_aside_for_it_from_its_first_node_to_its_last():
    data, trainer = costs_of(kubeflow(), PRICES, outcome())

    assert (data.name, data.seconds, data.cores, data.memory_gib) == ("ExampleGen to Transform", 1800.0, 0.5, 2.0)
    assert data.price == pytest.approx((0.5 * 0.04 + 2 * 0.005) / 2)
    # What is not given for the Trainer is that of every pod.
    assert (trainer.cores, trainer.memory_gib, trainer.seconds) == (4.0, 2.0, 3600.0)
    assert trainer.price == pytest.approx(4 * 0.04 + 2 * 0.005)


def test_each_node_has_a_pod_of_its_own_without_groups():
    assert [pod.seconds for pod in costs_of(kubeflow(groups=None), PRICES, outcome())] == [600.0, 900.0, 3600.0]


def test_accelerators_have_prices_by_their_names():
    own = {"Trainer": {"accelerator": "nvidia.com/gpu", "accelerator_count": 2}}
    trainer = costs_of(kubeflow(nodes=own), PRICES, outcome())[-1]

    assert trainer.accelerators == 2
    assert trainer.price == pytest.approx(0.5 * 0.04 + 2 * 0.005 + 2 * 0.7)


def test_kubernetes_sets_the_limit_aside_where_there_is_no_request():
    unbounded, limited = kubeflow(resources={}), kubeflow(resources={"cpu_limit": 8, "memory_limit": "3Gi"})

    assert [(pod.cores, pod.memory_gib) for pod in costs_of(unbounded, PRICES, outcome())] == [(0.0, 0.0), (4.0, 0.0)]
    assert [(pod.cores, pod.memory_gib) for pod in costs_of(limited, PRICES, outcome())] == [(8.0, 3.0), (4.0, 3.0)]


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ({"cpu_hour": None}, "prices.cpu_hour"),
        ({"gib_hour": None}, "prices.gib_hour"),
        ({"accelerator_hour": {"amd.com/gpu": 1.0}}, "prices.accelerator_hour"),
        ({"cpu_hour": None, "gib_hour": None}, "prices.cpu_hour, prices.gib_hour"),
    ],
)
def test_prices_that_are_missing_are_named(missing, field):
    own = {"Trainer": {"accelerator": "nvidia.com/gpu"}}

    with pytest.raises(UsageError, match="Prices are missing") as raised:
        costs_of(kubeflow(nodes=own), PRICES.model_copy(update=missing), outcome())
    assert raised.value.where == field
    assert all(f"--set '{each}=" in raised.value.fix for each in field.split(", "))


def test_the_command_reckons_with_the_runs_pods_and_todays_prices(config, conveyor):
    ran_with = config.model_copy(update={"kubeflow": kubeflow()}).effective()
    outcome(ran_with).save(config.runs_path / "first")
    priced = ("--set", "prices={currency: EUR, cpu_hour: 0.04, gib_hour: 0.005}")

    cost = json.loads(conveyor("show", "first", "--cost", "--json", *priced)[1])["cost"]
    assert cost["currency"] == "EUR"
    assert cost["price"] == pytest.approx(0.015 + 0.17)
    assert [pod["name"] for pod in cost["pods"]] == ["ExampleGen to Transform", "Trainer"]
    code, out, _ = conveyor("show", "first", "--cost", *priced)
    assert code == 0
    assert "0.1850 EUR" in out
    assert "cost" not in json.loads(conveyor("show", "first", "--json")[1])


def test_the_command_says_where_prices_go(config, conveyor):
    outcome(config.effective()).save(config.runs_path / "first")

    code, _, err = conveyor("show", "first", "--cost")
    assert code == 2
    assert "--set 'prices.cpu_hour=0.04' --set 'prices.gib_hour=0.005'" in err


def test_a_run_whose_state_is_damaged_has_no_cost(workspace, config, conveyor):
    workspace.run("first", "-1")
    (config.runs_path / "first").mkdir(parents=True)
    (config.runs_path / "first" / "run.json").write_text("{")

    code, _, err = conveyor("show", "first", "--cost", "--set", "prices={cpu_hour: 0.04, gib_hour: 0.005}")
    assert code == 1
    assert "The state of run first cannot be read." in err
