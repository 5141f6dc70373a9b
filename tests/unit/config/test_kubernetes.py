"""What Kubernetes and KFP's compiler would refuse is refused in the configuration."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.config.kubernetes import Cpu, Memory, ObjectName, amount
from tests.unit.config.test_consistency import load, refused, with_value

SECRET = {"secret": "keys", "key": "url"}


@pytest.mark.parametrize(
    ("section", "good", "bad"),
    [
        ("namespace", "my-team", "My_Team"),
        ("namespace", "a" * 63, "a" * 64),
        ("namespace", "team", "team.one"),
        ("volume", "data.v1", "data_v1"),
        ("volume", "a" * 253, "a" * 254),
        ("image_pull_secrets", ["registry"], ["Registry"]),
        ("metadata", SECRET, {**SECRET, "secret": "-keys"}),
        ("metadata", {**SECRET, "key": ".env_1"}, {**SECRET, "key": "a key"}),
        ("webhook", SECRET, {**SECRET, "key": ".."}),
        ("environment", {"PROXY": SECRET}, {"1PROXY": SECRET}),
        ("environment", {"PROXY": SECRET}, {"PROXY": {**SECRET, "secret": "Keys"}}),
        ("image", "registry.example.com:5000/team/conveyor:0.1.0", "Conveyor:0.1.0"),
        ("image", "conveyor@sha256:" + "0" * 64, "conveyor:0.1.0:latest"),
        ("mount_path", "/conveyor", "/conveyor/../etc"),
        ("mount_path", "/opt/data", "/opt"),
        ("mount_path", "/optics", "/usr/share/data"),
        ("user", 2**31 - 1, 2**31),
        ("host", "https://kfp.example.com/pipeline", "localhost:8080"),
        ("host", "http://localhost:8080", "http://localhost:80800"),
        ("host", "http://localhost:8080", "http://:8080"),
        ("experiment", "{name}", ""),
        ("retry", {"backoff_seconds": 3600}, {"backoff_seconds": 3601}),
        ("resources", {"cpu_request": 2}, {"cpu_request": "2Gi"}),
        ("resources", {"cpu_request": "0.5"}, {"cpu_request": "0.5m"}),
        ("resources", {"memory_limit": "4096Mi"}, {"memory_limit": "1.5Gi"}),
        ("resources", {"memory_limit": "64000K"}, {"memory_limit": "64000k"}),
        ("resources", {"accelerator": "nvidia.com/gpu"}, {"accelerator": "gpu"}),
        ("resources", {"accelerator": "nvidia.com/gpu", "accelerator_count": 2}, {"accelerator_count": 2}),
        ("resources", {"node_selector": {"pool": True}}, {"node_selector": {"a pool": "big"}}),
        ("resources", {"node_selector": {"example.com/pool": ""}}, {"node_selector": {"pool": "very big"}}),
        ("resources", {"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {"tolerations": [{"key": "a gpu"}]}),
        (
            "resources",
            {"tolerations": [{"key": "gpu", "value": "yes"}]},
            {"tolerations": [{"key": "gpu", "operator": "Exists", "value": "yes"}]},
        ),
        ("nodes", {"Trainer": {"image": "conveyor:0.1.0-gpu"}}, {"Trainer": {"image": "Conveyor:0.1.0-gpu"}}),
        ("resources", {"timeout_seconds": 2**31 - 1}, {"timeout_seconds": 2**31}),
    ],
)
def test_what_a_cluster_refuses_is_refused_with_its_line(tmp_path, section, good, bad):
    load(tmp_path, {"kubeflow": {section: good}})
    error = refused(tmp_path, {"kubeflow": {section: bad}})

    assert error.where.startswith(f"{tmp_path}/pipeline.yaml, line ")
    assert error.expected


@pytest.mark.parametrize(
    ("resources", "nodes", "field", "fix"),
    [
        ({"cpu_request": 2, "cpu_limit": "500m"}, {}, ("resources", "cpu_limit"), "2"),
        ({"memory_request": "8Gi", "memory_limit": "8G"}, {}, ("resources", "memory_limit"), "8Gi"),
        ({"memory_limit": "4Gi"}, {"Trainer": {"memory_request": "8Gi"}}, ("nodes", "Trainer", "memory_limit"), "8Gi"),
        ({"memory_request": "2Gi"}, {"Trainer": {"memory_limit": "1Gi"}}, ("nodes", "Trainer", "memory_limit"), "2Gi"),
        ({"memory_limit": 4}, {}, ("resources", "memory_limit"), "4Gi"),
    ],
)
def test_more_than_the_limit_cannot_be_requested(tmp_path, resources, nodes, field, fix):
    fields = {"kubeflow": {"resources": resources, "nodes": nodes}}

    error = refused(tmp_path, fields)

    assert error.fix.endswith(f": {fix}")
    load(tmp_path, with_value(fields, ("kubeflow", *field), fix))


@given(st.integers(0, 10**6), st.sampled_from("KMGTPE"))
def test_amounts_are_those_of_their_units(number, unit):
    power = "KMGTPE".index(unit) + 1
    assert amount(f"{number}{unit}") == number * 1000**power
    assert amount(f"{number}{unit}i") == number * 1024**power
    assert amount(str(number)) == number
    assert amount(f"{number}m") * 1000 == number


@given(st.text(max_size=12) | st.from_regex(r"[0-9.]{1,5}(m|[KMGk]i?)?", fullmatch=True))
def test_kfps_compiler_takes_every_quantity_that_is_accepted(text):
    # The expressions of kfp.dsl.PipelineTask, which are those of Kubernetes or stricter.
    for kind, expression in ((Cpu, r"([0-9]*[.])?[0-9]+m?"), (Memory, r"[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?")):
        try:
            accepted = TypeAdapter(kind).validate_python(text)
        except ValidationError:
            continue
        assert re.fullmatch(expression, accepted)


@given(st.text(st.sampled_from("aZ0-._ é\n"), max_size=9))
def test_names_of_objects_are_those_of_rfc_1123(text):
    parts = text.split(".")
    valid = all(re.fullmatch("[a-z0-9-]+", part) and not part.startswith("-") and not part.endswith("-") for part in parts)
    try:
        TypeAdapter(ObjectName).validate_python(text)
    except ValidationError:
        assert not valid
    else:
        assert valid


def test_an_address_without_a_scheme(tmp_path):
    error = refused(tmp_path, {"kubeflow": {"host": "localhost:8080"}})

    assert error.fix == "Write: http://localhost:8080"
    load(tmp_path, {"kubeflow": {"host": "http://localhost:8080"}})


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        (("gateway", "upstream", "stable"), "grpc://localhost:8500/{name}", "grpc://localhost:85000/flights"),
        (("gateway", "upstream", "stable"), "http://models/v1/models/flights/versions/2", "http://models/flights"),
        (("gateway", "upstream", "canary"), "https://h/proxy/v1/models/flights/labels/canary", "grpc://h/flights/versions/new"),
        (("gateway", "cache", "redis"), "redis://redis:6379/0", "redis://redis:port/0"),
        (("gateway", "host"), "0.0.0.0", "http://localhost"),
        (("infra_validator", "image"), "tensorflow/serving:2.20.0", "tensorflow/serving 2.20.0"),
    ],
)
def test_addresses_name_a_server_and_a_port_that_can_be(tmp_path, fields, good, bad):
    load(tmp_path, with_value({}, fields, good))
    refused(tmp_path, with_value({}, fields, bad))
