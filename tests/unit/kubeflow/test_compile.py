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
from pipeline.kubeflow.pod.names import component_name, label_value
from pipeline.kubeflow.pod.payload import Payload
from pipeline.kubeflow.workflow_size import LIMIT, workflow_size
from pipeline.util import checkout

FLIGHTS = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"
GOLDEN = Path(__file__).with_name("golden")
LABEL_VALUE = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
A_POD_A_NODE = "kubeflow.groups=null"
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
    return package(A_POD_A_NODE)


@pytest.fixture(scope="module")
def grouped() -> str:
    return package()


def test_the_package_is_as_it_was(flights, grouped):
    # When this fails on purpose: python tests/unit/kubeflow/test_compile.py writes the files anew; read their diff.
    assert without_payload(flights) == (GOLDEN / "flights.yaml").read_text()
    assert without_payload(grouped) == (GOLDEN / "grouped.yaml").read_text()


def test_it_does_not_depend_on_the_folder_of_the_configuration(grouped, tmp_path):
    copied = shutil.copytree(FLIGHTS.parent, tmp_path / "elsewhere")

    assert compile_package(load_config(copied / "pipeline.yaml", ())) == grouped


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
    # Another attempt would find the same data.
    assert "retryPolicy" not in tasks.pop("example-validator")
    assert all(task["retryPolicy"]["maxRetryCount"] == 2 for task in tasks.values())


def payloads(text: str) -> dict[str, Payload]:
    """What the task of each container is given."""
    arguments = {name: each["args"] for name, each in containers(text).items()}
    return {
        name: Payload.read(each[each.index("--ir") + 1], each[each.index("--config") + 1]) for name, each in arguments.items()
    }


def test_each_pod_has_labels_of_its_pipeline_and_its_node(flights, grouped):
    def labels(text: str) -> dict[str, dict[str, str]]:
        return {name: executor["podMetadata"]["labels"] for name, executor in parsed(text)[1].items()}

    assert labels(flights)["exec-trainer"] == {"conveyor.dev/pipeline": "flights", "conveyor.dev/node": "Trainer"}
    assert {each["conveyor.dev/node"] for each in labels(flights).values()} == {*NODES, "finish"}
    assert all(re.fullmatch(LABEL_VALUE, value) for each in labels(grouped).values() for value in each.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("Trainer", "Trainer"), ("ExampleGen to Transform", "ExampleGen-to-Transform"), ("(é)", ""), ("a" * 62 + " b", "a" * 62)],
)
def test_a_name_becomes_the_value_of_a_label(name, value):
    assert label_value(name) == value
    assert re.fullmatch(LABEL_VALUE, value) or not value


def test_no_two_containers_are_equal(flights):
    assert len({tuple(each["args"]) for each in containers(flights).values()}) == len(NODES) + 1


def test_each_task_is_given_its_own_nodes_and_the_exit_task_the_names_of_all(flights, customised):
    def names(text: str) -> dict[str, list[str]]:
        return {
            name: [entry.pipeline_node.node_info.id for entry in payload.pipeline().nodes]
            for name, payload in payloads(text).items()
        }

    assert names(flights)["exec-trainer"] == ["Trainer"]
    assert set(names(customised)["exec-data"]) == {"ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator"}
    assert sorted(names(flights)["exec-finish"]) == sorted(NODES)
    outline = {
        entry.pipeline_node.node_info.id: entry.pipeline_node for entry in payloads(flights)["exec-finish"].pipeline().nodes
    }
    assert list(outline["Evaluator"].upstream_nodes) == ["ExampleGen", "Resolver", "SchemaGen", "Trainer"]
    assert not outline["Evaluator"].HasField("inputs")


def test_what_the_tasks_carry_leaves_room_in_the_workflow(flights):
    # 104,880 bytes when each task was given the whole pipeline.
    given = [[argument for argument in each["args"] if argument.startswith("H4s")] for each in containers(flights).values()]

    assert sum(len(argument) for arguments in given for argument in arguments) < 30_000
    assert workflow_size(given) < LIMIT / 2


def test_a_package_whose_runs_would_be_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.workflow_size.LIMIT", 400_000)

    with pytest.raises(ConfigError, match="too large for Kubeflow") as raised:
        package(A_POD_A_NODE)
    assert "12 tasks" in raised.value.seen
    # As the error says.
    package("kubeflow.groups={Prepare: [ExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform]}")


def test_pods_find_the_volume_where_the_workspace_is(flights):
    config = payloads(flights)["exec-trainer"].config

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
        " image: conveyor:0.1.0-gpu, timeout_seconds: 7200, node_selector: {pool: gpu},"
        " tolerations: [{key: nvidia.com/gpu, operator: Exists}]}}",
        "kubeflow.environment={PROXY: {secret: network, key: proxy}}",
        "kubeflow.webhook={secret: chat, key: url}",
    )


def test_nodes_get_what_they_ask_for(customised):
    resources = containers(customised)["exec-trainer"]["resources"]
    _, platform = parsed(customised)

    assert (resources["resourceMemoryLimit"], resources["resourceCpuRequest"]) == ("16Gi", "500m")
    assert (resources["accelerator"]["resourceType"], resources["accelerator"]["resourceCount"]) == ("nvidia.com/gpu", "2")
    images = {name: container["image"] for name, container in containers(customised).items()}
    assert {name for name, image in images.items() if image == "conveyor:0.1.0-gpu"} == {"exec-trainer"}
    assert set(images.values()) == {"conveyor:0.1.0", "conveyor:0.1.0-gpu"}
    assert platform["exec-trainer"]["activeDeadlineSeconds"] == "7200"
    assert platform["exec-trainer"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert platform["exec-trainer"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert "tolerations" not in platform["exec-pusher"]
    variables = {name: [key["keyToEnv"][0]["envVar"] for key in each["secretAsEnv"]] for name, each in platform.items()}
    assert variables["exec-pusher"] == ["CONVEYOR_METADATA", "PROXY"]
    assert variables["exec-finish"] == ["CONVEYOR_METADATA", "PROXY", "CONVEYOR_WEBHOOK"]


def test_a_slice_of_a_gpu_is_a_resource_too():
    mig = "kubeflow.nodes={Trainer: {accelerator: nvidia.com/mig-1g.10gb, node_selector: {nvidia.com/gpu.product: A100}}}"
    text = package(mig)
    assert containers(text)["exec-trainer"]["resources"]["accelerator"] == {
        "count": "1",
        "type": "nvidia.com/mig-1g.10gb",
        "resourceCount": "1",
        "resourceType": "nvidia.com/mig-1g.10gb",
    }
    assert parsed(text)[1]["exec-trainer"]["nodeSelector"] == {"labels": {"nvidia.com/gpu.product": "A100"}}


def test_by_default_nodes_share_a_pod(grouped):
    (task,) = node_tasks(grouped).values()
    _, platform = parsed(grouped)
    components = parsed(grouped)[0]["components"]
    outputs = components["comp-example-gen-to-pusher"]["outputDefinitions"]["artifacts"]

    assert task["taskInfo"]["name"] == "ExampleGen to Pusher"
    assert {name.removesuffix("_report") for name in outputs if name.endswith("_report")} == {
        component_name(node) for node in NODES
    }
    # An error of the data is met again.
    assert task["retryPolicy"]["maxRetryCount"] == 1
    # An hour for each node.
    assert platform["exec-example-gen-to-pusher"]["activeDeadlineSeconds"] == str(3600 * len(NODES))
    assert platform["exec-finish"]["activeDeadlineSeconds"] == "3600"


def test_a_node_with_resources_of_its_own_is_alone():
    tasks = node_tasks(package("kubeflow.nodes={Trainer: {accelerator: nvidia.com/gpu}}"))

    assert {name: task.get("dependentTasks", []) for name, task in tasks.items()} == {
        "example-gen-to-transform": [],
        "trainer": ["example-gen-to-transform"],
        "resolver-to-pusher": ["example-gen-to-transform", "trainer"],
    }
    assert tasks["trainer"]["retryPolicy"]["maxRetryCount"] == 2


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
    (GOLDEN / "flights.yaml").write_text(without_payload(package(A_POD_A_NODE)))
    (GOLDEN / "grouped.yaml").write_text(without_payload(package()))
