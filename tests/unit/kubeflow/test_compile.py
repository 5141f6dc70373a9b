"""What a package for Kubeflow says, against KFP's own loader and a golden file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.config.loading import load_config
from pipeline.errors import ConfigError
from pipeline.kubeflow.compile import compile_package
from pipeline.kubeflow.pod.payload import Payload
from pipeline.util import checkout

FLIGHTS = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"
GOLDEN = Path(__file__).with_name("golden") / "flights.yaml"
NODES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "LatestHyperparameters",
    "Trainer",
    "Resolver",
    "Evaluator",
    "InfraValidator",
    "Pusher",
)


def package(*overrides: str) -> str:
    return compile_package(load_config(FLIGHTS, overrides))


def parsed(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    pipeline, platform = yaml.safe_load_all(text)
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def containers(text: str) -> dict[str, dict[str, Any]]:
    """By executor, the container."""
    return {name: each["container"] for name, each in parsed(text)[0]["deploymentSpec"]["executors"].items()}


def node_tasks(text: str) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = parsed(text)[0]["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    return tasks


def without_payload(text: str) -> str:
    """The package without what changes with the code that nodes execute."""
    return re.sub(r"(- --(?:ir|config)\n *- ).*", r"\1PACKED", text)


@pytest.fixture(scope="module")
def flights() -> str:
    return package()


def test_the_package_is_as_it_was(flights):
    # When this fails on purpose: python tests/unit/kubeflow/test_compile.py writes the file anew; read its diff.
    assert without_payload(flights) == GOLDEN.read_text()


def test_it_does_not_depend_on_the_folder_of_the_configuration(flights, tmp_path):
    copied = shutil.copytree(FLIGHTS.parent, tmp_path / "elsewhere")

    assert compile_package(load_config(copied / "pipeline.yaml", ())) == flights


def test_kfp_loads_it(flights):
    loaded = components.load_component_from_text(flights)

    assert loaded.name == "flights"
    specification = json_format.ParseDict(next(iter(yaml.safe_load_all(flights))), pipeline_spec_pb2.PipelineSpec())
    assert specification.schema_version == "2.1.0"


def test_each_node_is_a_task_that_waits_for_those_before_it(flights):
    tasks = node_tasks(flights)

    assert [tasks[name]["taskInfo"]["name"] for name in tasks] == sorted(NODES)
    assert tasks["evaluator"]["dependentTasks"] == ["example-gen", "resolver", "schema-gen", "trainer"]
    assert "dependentTasks" not in tasks["resolver"]
    assert all(task["cachingOptions"] == {} for task in tasks.values())
    assert all(task["retryPolicy"]["maxRetryCount"] == 2 for task in tasks.values())


def test_no_two_containers_are_equal_and_all_carry_the_same_pipeline(flights):
    arguments = [each["args"] for each in containers(flights).values()]

    assert len({tuple(each) for each in arguments}) == len(NODES) + 1
    assert len({(each[each.index("--ir") + 1], each[each.index("--config") + 1]) for each in arguments}) == 1


def test_pods_find_the_volume_where_the_workspace_is(flights):
    arguments = next(iter(containers(flights).values()))["args"]

    config = Payload.read(arguments[arguments.index("--ir") + 1], arguments[arguments.index("--config") + 1]).config

    assert config.resolve(config.data.input) == "/conveyor/data/flights/span-{SPAN}/flights.parquet"
    assert str(config.serving_path) == "/conveyor/models/flights"
    assert config.infra_validator.runner == "process"


def test_every_pod_has_volume_user_and_database(flights):
    _, executors = parsed(flights)

    assert len(executors) == len(NODES) + 1
    for executor in executors.values():
        assert executor["pvcMount"][0]["mountPath"] == "/conveyor"
        assert executor["securityContext"] == {"runAsUser": "1000", "runAsGroup": "1000", "runAsNonRoot": True}
        assert executor["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "CONVEYOR_METADATA", "secretKey": "url"}]


@pytest.fixture(scope="module")
def customised() -> str:
    return package(
        "kubeflow.groups={data: [ExampleGen, StatisticsGen, SchemaGen, ExampleValidator]}",
        "kubeflow.nodes={Trainer: {memory_limit: 16Gi, accelerator: nvidia.com/gpu, accelerator_count: 2,"
        " timeout_seconds: 7200, node_selector: {pool: gpu}, tolerations: [{key: nvidia.com/gpu, operator: Exists}]}}",
        "kubeflow.environment={PROXY: {secret: network, key: proxy}}",
        "kubeflow.webhook={secret: chat, key: url}",
    )


def test_nodes_get_what_they_ask_for(customised):
    resources = containers(customised)["exec-trainer"]["resources"]
    _, platform = parsed(customised)

    assert (resources["resourceMemoryLimit"], resources["resourceCpuRequest"]) == ("16Gi", "500m")
    assert (resources["accelerator"]["resourceType"], resources["accelerator"]["resourceCount"]) == ("nvidia.com/gpu", "2")
    assert platform["exec-trainer"]["activeDeadlineSeconds"] == "7200"
    assert platform["exec-trainer"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert platform["exec-trainer"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "tolerations" not in platform["exec-pusher"]
    variables = {name: [key["keyToEnv"][0]["envVar"] for key in each["secretAsEnv"]] for name, each in platform.items()}
    assert variables["exec-pusher"] == ["CONVEYOR_METADATA", "PROXY"]
    assert variables["exec-finish"] == ["CONVEYOR_METADATA", "PROXY", "CONVEYOR_WEBHOOK"]


def test_a_group_is_one_task(customised):
    tasks = node_tasks(customised)

    assert "example-gen" not in tasks
    assert tasks["transform"]["dependentTasks"] == ["data"]


@pytest.mark.parametrize(
    ("override", "where", "message"),
    [
        ("data.input=/elsewhere/{SPAN}.parquet", "data.input", "Pods can read and write nothing but the volume"),
        ("push.destination=models", "push.destination", "Pods can read and write nothing but the volume"),
        ("kubeflow.groups={data: [ExampelGen]}", "kubeflow.groups.data", "Did you mean 'ExampleGen'"),
        ("kubeflow.nodes={Trainr: {cpu_limit: 2}}", "kubeflow.nodes.Trainr", "Trainer"),
        ("kubeflow.resources={memory_limit: lots}", "kubeflow.resources.memory_limit", "lots"),
        ("kubeflow.mount_path=conveyor", "kubeflow.mount_path", "conveyor"),
        ("kubeflow.environment={CONVEYOR_METADATA: {secret: a, key: b}}", "kubeflow", "CONVEYOR_METADATA: names that begin"),
        ("schema.path=missing.pbtxt", "missing.pbtxt", "schema"),
    ],
)
def test_what_cannot_run_there_is_refused(override, where, message):
    with pytest.raises(ConfigError) as raised:
        package(override)

    assert where in str(raised.value)
    assert message in str(raised.value)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(without_payload(package()))
