"""What the cluster's Argo makes of kubeflow.retry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cluster.retries import remark_on_retries
from pipeline.util.kubectl import Kubectl
from tests.fakes.machine import Machine

CONFIG_MAP = "configmap/workflow-controller-configmap"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, monkeypatch)
    made.has_cluster()
    return made


def remark(machine: Machine) -> str:
    return remark_on_retries(Kubectl("kind-conveyor", "kubeflow", machine.console))


def workflow_defaults(**strategy: str) -> dict[str, Any]:
    return {"spec": {"ttlStrategy": {"secondsAfterCompletion": 60}, "templateDefaults": {"retryStrategy": strategy}}}


def test_our_own_manifests_change_nothing(machine: Machine) -> None:
    manifest = yaml.safe_load((machine.manifests / "kubeflow" / "base" / "workflow-controller.yaml").read_text())
    machine.put(CONFIG_MAP, **manifest)

    assert remark(machine) == ""


def test_with_kfps_own_defaults_a_pod_that_fails_is_not_tried_again(machine: Machine) -> None:
    defaults = workflow_defaults(limit="2", retryPolicy="OnError")
    machine.put(CONFIG_MAP, data={"workflowDefaults": yaml.safe_dump(defaults)})

    text = remark(machine)

    assert "Pods of runs that fail are not tried again, whatever kubeflow.retry says" in text
    assert "policy OnError" in text
    assert "kubectl --context kind-conveyor --namespace kubeflow edit configmap workflow-controller-configmap" in text


def test_defaults_in_one_document_are_read_too(machine: Machine) -> None:
    whole = {"parallelism": 10, "workflowDefaults": workflow_defaults(retryPolicy="OnError")}
    machine.put(CONFIG_MAP, data={"config": yaml.safe_dump(whole)})

    assert "are not tried again" in remark(machine)


@pytest.mark.parametrize("strategy", [{"limit": "2"}, {"limit": "2", "retryPolicy": "Always"}])
def test_defaults_that_include_failures_only_make_workflows_larger(machine: Machine, strategy: dict[str, str]) -> None:
    machine.put(CONFIG_MAP, data={"workflowDefaults": yaml.safe_dump(workflow_defaults(**strategy))})

    assert "Argo retries every step by default" in remark(machine)
    assert "limit of 1 MiB" in remark(machine)


def test_what_may_not_be_read_is_not_known(machine: Machine) -> None:
    machine.fail(
        "get configmap", 'Error from server (Forbidden): configmaps "workflow-controller-configmap" is forbidden: User "ada"'
    )
    assert "is not known: ConfigMap workflow-controller-configmap of the namespace kubeflow cannot be read" in remark(machine)


def test_what_is_elsewhere_is_not_known(machine: Machine) -> None:
    machine.remove(f"objects/{CONFIG_MAP}")

    assert "is not known: there is no ConfigMap workflow-controller-configmap" in remark(machine)
