"""What is installed beside Kubeflow, for a pipeline of any name: rendered by kubectl itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cluster.manifests import render_all
from pipeline.config import PipelineConfig

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None and "CI" not in os.environ, reason="renders with kubectl")


def installed(**fields: Any) -> list[dict[str, Any]]:
    """The objects for a pipeline."""
    return render_all("kind", PipelineConfig.model_validate({"label": "price", "data": {"input": "houses.csv"}, **fields}))


def of(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of a name, or the ConfigMap of a name with a hash at its end."""
    (only,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    return only


def test_model_server_and_gateway_serve_the_model_of_the_pipeline():
    found = installed(name="houses")

    served = of(found, "ConfigMap", "serving-default")["data"]["models.config"]
    assert 'name: "houses"' in served
    assert 'base_path: "/models/houses"' in served
    (container,) = [
        each
        for one in found
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", "serving")
        for each in one["spec"]["template"]["spec"]["containers"]
    ]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/houses/metadata"
    settings = of(found, "ConfigMap", "gateway-settings")["data"]
    gateway = yaml.safe_load(settings["settings.yaml"])
    assert gateway["upstream"] == {"stable": "grpc://serving:8500/houses", "canary": "grpc://serving-canary:8500/houses"}
    assert gateway["log"]["folder"] == "/predictions/houses"
    assert settings["schema.pbtxt"] == ""


def test_the_gateway_checks_rows_by_the_curated_schema_and_starts_again_when_it_changes(tmp_path: Path):
    schema = tmp_path / "schema.pbtxt"
    names = []
    for feature in ("rooms", "area"):
        schema.write_text(f'feature {{ name: "{feature}" type: INT }}\n')
        settings = of(installed(name="houses", schema={"path": str(schema)}), "ConfigMap", "gateway-settings")
        assert settings["data"]["schema.pbtxt"] == schema.read_text()
        names.append(settings["metadata"]["name"])

    assert names[0] != names[1]
