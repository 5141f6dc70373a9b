"""A package as objects of Kubernetes, against kfp's own compiler and KFP's definitions (crds/, Apache License 2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from pipeline.cluster.gitops import as_yaml
from pipeline.errors import UsageError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.versions import version_name, version_objects

CRDS = Path(__file__).with_name("crds")


def schema(kind: str) -> Any:
    (version,) = yaml.safe_load((CRDS / f"{kind.lower()}s.yaml").read_text())["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def closed(node: Any) -> Any:
    """The schema without room for other fields, which the API server would drop."""
    if not isinstance(node, dict):
        return node
    inner = {name: closed(value) for name, value in node.items()}
    return {**inner, "additionalProperties": False} if "properties" in node and "type" in node else inner


def test_they_are_what_the_definitions_ask_for(package: str) -> None:
    made = version_objects("flights", package, "team")

    assert [one["kind"] for one in made] == ["Pipeline", "PipelineVersion"]
    for one in made:
        jsonschema.validate(one, closed(schema(one["kind"])))
        assert one["metadata"]["namespace"] == "team"


def test_they_are_what_kfps_compiler_writes(tmp_path: Path) -> None:
    @dsl.container_component
    def step():
        return dsl.ContainerSpec(image="conveyor:0.1.0", command=["true"])

    @dsl.pipeline(name="small", description="From a table to a model.")
    def small():
        kubernetes.mount_pvc(step(), "conveyor", "/conveyor")

    package, manifest = tmp_path / "package.yaml", tmp_path / "manifest.yaml"
    compiler.Compiler().compile(small, str(package))
    name = version_name("small", package.read_text())
    options = compiler.compiler_utils.KubernetesManifestOptions(
        pipeline_version_name=name, pipeline_version_display_name=name, namespace="team", include_pipeline_manifest=True
    )
    compiler.Compiler().compile(small, str(manifest), kubernetes_manifest_options=options, kubernetes_manifest_format=True)

    assert version_objects("small", package.read_text(), "team") == list(yaml.safe_load_all(manifest.read_text()))


def test_the_text_holds_the_same_objects(package: str) -> None:
    made = version_objects("flights", package, "team")

    assert list(yaml.safe_load_all(as_yaml(made))) == made


def test_an_upload_of_the_same_package_has_the_same_name(client: KubeflowClient, package: str) -> None:
    assert client.upload(package).name == version_objects("flights", package, "team")[1]["metadata"]["name"]


def test_a_name_that_objects_cannot_have(package: str) -> None:
    with pytest.raises(UsageError, match="cannot be that of an object") as caught:
        version_objects("flights-", package, "team")

    assert caught.value.fix == "Write: name: flights"
