"""Whether the cluster's Argo tries the pods of runs again when they fail, which its defaults for all workflows may prevent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError

_CONFIG_MAP = "workflow-controller-configmap"
# The policies by which a pod that fails is tried again; Argo's own default is OnFailure.
_POLICIES_FOR_FAILURES = ("Always", "OnFailure", "OnTransientError")


def remark_on_retries(kubectl: Kubectl) -> str:
    """What the cluster makes of kubeflow.retry, if it is not what is asked for; empty where nothing changes it.

    Args:
      kubectl: on the namespace in which Argo's workflow controller is configured.
    """
    where = f"ConfigMap {_CONFIG_MAP} of the namespace {kubectl.namespace}"
    try:
        config = kubectl.get("configmap", _CONFIG_MAP)
    except ProgramError as error:
        return f"Whether pods that fail are tried again is not known: {where} cannot be read: {error.stderr or error.what}"
    if config is None:
        return f"Whether pods that fail are tried again is not known: there is no {where}."
    strategy = defaults(config.get("data", {}))
    if strategy is None:
        return ""
    policy = strategy.get("retryPolicy", "OnFailure")
    larger = "Each step of a workflow is kept twice, so that workflows reach the limit of 1 MiB sooner."
    if policy in _POLICIES_FOR_FAILURES:
        return f"Argo retries every step by default ({where}, templateDefaults). {larger}"
    return (
        "Pods of runs that fail are not tried again, whatever kubeflow.retry says: Argo's default for all steps has the policy "
        f"{policy} ({where}, workflowDefaults.spec.templateDefaults.retryStrategy), and KFP's tasks name none. {larger}\n"
        f"If the cluster is yours to change, remove retryStrategy there: kubectl --context {kubectl.context} "
        f"--namespace {kubectl.namespace} edit configmap {_CONFIG_MAP}"
    )


def defaults(settings: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The retry strategy that Argo merges into every step of every workflow; None where there is none.

    Args:
      settings: the data of the workflow controller's ConfigMap.
    """
    for text in (settings.get("workflowDefaults", ""), _nested(settings)):
        spec = (yaml.safe_load(text) or {}).get("spec") or {}
        strategy: Mapping[str, Any] | None = (spec.get("templateDefaults") or {}).get("retryStrategy")
        if strategy is not None:
            return strategy
    return None


def _nested(settings: Mapping[str, str]) -> str:
    """The same setting where all of them are in one document, as Argo allows."""
    return yaml.safe_dump((yaml.safe_load(settings.get("config", "")) or {}).get("workflowDefaults") or {})
