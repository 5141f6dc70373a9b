"""What runs need in the namespace of a profile, and the manifest of what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.preflight import require_cluster
from pipeline.cluster.requirements import Requirements
from pipeline.errors import ConveyorError
from pipeline.util.kubectl import Kubectl
from tests.fakes.machine import Machine, configuration
from tests.unit.manifests.kubernetes_schema import problems

PROFILE = {"context": "shared", "namespace": "team", "auth": {"token_file": "token"}, "image": "registry/conveyor:2"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """On a cluster with a profile in which nothing is installed."""
    made = Machine(tmp_path, monkeypatch)
    made.has_profile("team")
    return made


def requirements(machine: Machine, **kubeflow: Any) -> Requirements:
    settings = configuration(**{**PROFILE, **kubeflow}).kubeflow
    return Requirements(Kubectl(settings.context, settings.namespace, machine.console), settings)


def objects(machine: Machine, **kubeflow: Any) -> dict[tuple[str, str], dict[str, Any]]:
    lacks = requirements(machine, **kubeflow).lacks()
    return {(one["kind"], one["metadata"]["name"]): one for lack in lacks for one in lack.objects}


def test_a_profile_lacks_the_volume_and_the_secret(machine: Machine) -> None:
    made = objects(machine)

    assert list(made) == [
        ("PersistentVolumeClaim", "conveyor"),
        ("Job", "conveyor-prepare"),
        ("Secret", "conveyor-metadata"),
    ]
    assert {one["metadata"]["namespace"] for one in made.values()} == {"team"}
    assert [problem for one in made.values() for problem in problems(one)] == []
    job = made["Job", "conveyor-prepare"]["spec"]["template"]
    assert {one["image"] for one in (*job["spec"]["initContainers"], *job["spec"]["containers"])} == {"registry/conveyor:2"}
    assert job["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_with_the_objects_that_the_manifest_has_nothing_is_missing(machine: Machine) -> None:
    for (kind, name), one in objects(machine).items():
        machine.put(f"{kind.lower()}/{name}", data=one.get("stringData", {}), status={"succeeded": 1})

    assert list(requirements(machine).lacks()) == []
    require_cluster(configuration(**PROFILE))


def test_a_profile_that_is_not_there_with_its_account_and_role(machine: Machine) -> None:
    machine.remove("objects/namespace/team")
    machine.remove("objects/serviceaccount/default-editor")

    made = objects(machine)

    assert made["Profile", "team"]["spec"]["owner"]["kind"] == "User"
    binding = made["RoleBinding", "default-editor"]
    assert binding["roleRef"]["name"] == "kubeflow-edit"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "default-editor", "namespace": "team"}]
    assert problems(binding) == []


def test_a_namespace_without_a_log_in_is_one_of_kubernetes(machine: Machine) -> None:
    machine.remove("objects/namespace/team")

    made = objects(machine, auth=None)

    assert ("Namespace", "team") in made
    assert not any(kind in ("Profile", "RoleBinding") for kind, _ in made)


def test_keys_of_one_secret_are_in_one_object(machine: Machine) -> None:
    keys = {"environment": {name: {"secret": "tokens", "key": name.lower()} for name in ("A", "B")}}

    assert objects(machine, **keys)["Secret", "tokens"]["stringData"] == {"a": "VALUE", "b": "VALUE"}


def test_each_key_that_a_secret_lacks_is_named(machine: Machine) -> None:
    machine.put("secret/tokens", data={"a": ""})
    keys = {"environment": {name: {"secret": "tokens", "key": name.lower()} for name in ("A", "B")}}

    whats = [lack.error.what for lack in requirements(machine, **keys).lacks()]

    assert "Secret tokens has no key 'b'." in whats
    assert "Secret tokens has no key 'a'." not in whats


def test_names_of_ones_own_leave_out_the_job_that_is_made_for_others(machine: Machine) -> None:
    made = objects(machine, volume="shared", metadata={"secret": "database", "key": "address"})

    assert list(made) == [("PersistentVolumeClaim", "shared"), ("Secret", "database")]
    assert made["Secret", "database"]["stringData"]["address"].startswith("mysql://USER:PASSWORD@")


def test_the_remedy_is_not_to_install_into_a_profile(machine: Machine) -> None:
    with pytest.raises(ConveyorError) as caught:
        require_cluster(configuration(**PROFILE))

    assert "`conveyor cluster status` prints the manifest" in caught.value.fix
    assert "cluster up" not in caught.value.fix


def test_what_may_not_be_read_is_told(machine: Machine) -> None:
    machine.fail("get secret conveyor-metadata", 'Error from server (Forbidden): secrets "conveyor-metadata" is forbidden')
    found = requirements(machine)

    assert not any("secret" in lack.error.what for lack in found.lacks())
    assert found.unseen == ["secret conveyor-metadata"]
