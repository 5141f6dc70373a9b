"""`up` on a machine whose programs are the test's own: from nothing, again, after each failure; and what submit asks for."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

import pytest
import yaml

from pipeline.cluster import install
from pipeline.cluster.preflight import require_cluster
from pipeline.errors import ConfigError, ConveyorError, StorageError, UsageError
from pipeline.util.programs import ProgramError
from tests.fakes.machine import Machine, configuration

# One command of each step, in the order of the steps.
STEPS = (
    "kind create cluster",
    "wait node",
    "namespace kubeflow create",
    "apply --kustomize {manifests}/kubeflow/cluster-scoped",
    "wait crd",
    "apply --kustomize {manifests}/kubeflow/overlays/kind",
    "namespace kubeflow create",
    "kind load docker-image",
    "apply --filename",
    "wait deployment",
    "delete job",
    "apply --filename",
)


PINNED = f"corp/conveyor:1@sha256:{64 * '1'}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With everything that is needed, and no cluster yet."""
    return Machine(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which `up` has been run; to look at only."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(tmp_path_factory.mktemp("made"), patch)
        machine.installed = machine.up()
    return machine


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """With a cluster on which runs can start."""
    machine.has_cluster()
    return machine


@pytest.fixture
def real_cluster(machine: Machine) -> Machine:
    """With a cluster that is not kind's, and manifests edited for it."""
    machine.has_real_cluster()
    return machine


class TestUp:
    def test_from_nothing_everything_is_made_in_order(self, made):
        assert made.installed == install.Installed(made.home / ".conveyor" / "cluster", has_image=True)
        position = 0
        for command in STEPS:
            remaining = made.calls[position:]
            position += next(i for i, call in enumerate(remaining) if command.format(manifests=made.manifests) in call) + 1
        assert {"persistentvolumeclaim/conveyor", "deployment/conveyor-metadata", "deployment/serving"} <= made.objects
        assert {"job/conveyor-prepare", "statefulset/conveyor-shell", "secret/conveyor-metadata"} <= made.objects

    def test_each_step_and_command_is_shown_with_how_it_ended(self, made):
        assert "$ kind create cluster --name conveyor --config - --wait 2m" in made.shown
        assert "Make the Secret conveyor-metadata" in made.shown
        assert len(re.findall(r"✓ done \(\d+\.\d s\)", made.shown)) == 9

    def test_the_volume_is_the_absolute_folder_of_the_workspace(self, made):
        assert (made.state / "folder").read_text().strip() == str(made.home / ".conveyor" / "cluster")
        assert (made.home / ".conveyor" / "cluster").is_dir()

    def test_the_secret_is_random_and_never_shown(self, made):
        data = json.loads((made.state / "objects" / "secret" / "conveyor-metadata").read_text())["stringData"]
        assert data["url"] == f"mysql://conveyor:{data['password']}@conveyor-metadata:3306/conveyor"
        assert len(data["password"]) >= 32
        assert data["root-password"] != data["password"]
        for secret in (data["password"], data["root-password"]):
            assert secret not in made.shown
            assert not any(secret in call for call in made.calls)

    def test_pods_run_the_configured_image(self, machine):
        machine.write("local_images", "corp/conveyor:2\n")

        machine.up(image="corp/conveyor:2", image_pull_policy="Always", image_pull_secrets=["registry"])

        applied = [one for one in yaml.safe_load_all(machine.inputs) if one]
        (job,) = [one for one in applied if one["kind"] == "Job"]
        (shell,) = [one for one in applied if one["kind"] == "StatefulSet"]
        for pod in (job["spec"]["template"]["spec"], shell["spec"]["template"]["spec"]):
            for container in [*pod.get("initContainers", ()), *pod["containers"]]:
                assert (container["image"], container["imagePullPolicy"]) == ("corp/conveyor:2", "Always")
            assert pod["imagePullSecrets"] == [{"name": "registry"}]

    def test_a_second_time_changes_nothing_that_is_there(self, machine):
        machine.up()
        first, objects = len(machine.calls), machine.objects

        machine.up()

        again = machine.calls[first:]
        assert not [call for call in again if "kind create" in call or " create " in call or "export" in call]
        assert machine.objects == objects

    @pytest.mark.parametrize("pods", [0, 2])
    def test_a_canary_in_progress_keeps_its_pods(self, machine, pods):
        canary = {"kind": "Deployment", "metadata": {"name": "serving-canary"}, "spec": {"replicas": 0}}
        machine.write("serving-kind.yaml", yaml.safe_dump(canary))
        machine.up()
        machine.put("deployment/serving-canary", spec={"replicas": pods})
        machine.write("inputs", "")

        machine.up()

        (applied,) = [one for one in yaml.safe_load_all(machine.inputs) if one and one["metadata"]["name"] == "serving-canary"]
        assert applied["spec"]["replicas"] == pods

    def test_after_a_failure_in_each_step_it_goes_on(self, machine):
        # But the last, whose command the step before it has too.
        for number, command in enumerate(STEPS[:-1]):
            machine.fail(command.format(manifests=machine.manifests), f"failure {number}")
            with pytest.raises(ConveyorError) as caught:
                machine.up()
            assert f"failure {number}" in caught.value.seen
            assert caught.value.fix

        assert machine.up().has_image

        creations = [call for call in machine.calls if " create " in call]
        # Each that failed once, and the one that did not.
        assert sum("kind create cluster" in call for call in creations) == 2
        assert sum("create --filename" in call for call in creations) == 2 + 2

    def test_a_cluster_that_could_not_be_made_is_not_left_half_made(self, machine):
        machine.fail("kind create", "ERROR: failed to create cluster: no space left on device")

        with pytest.raises(ProgramError, match="kind failed"):
            machine.up()

        assert machine.changes[-1] == "kind delete cluster --name conveyor"

    def test_a_node_that_stands_still_is_started(self, machine):
        machine.has_cluster()
        machine.remove("running")
        machine.write("contexts", "")

        machine.up()

        assert "docker start conveyor-control-plane" in machine.calls
        assert "kind export kubeconfig --name conveyor" in machine.calls

    def test_a_node_that_takes_a_while_to_answer_is_waited_for(self, machine, monkeypatch):
        monkeypatch.setattr(install, "_POLL_SECONDS", 0.0)
        machine.has_cluster()
        machine.fail("get --raw", "The connection to the server 127.0.0.1:6443 was refused")

        machine.up()

        assert sum("get --raw" in call for call in machine.calls) == 2

    def test_without_the_image_all_else_is_made_ready(self, machine):
        machine.write("local_images", "")

        assert not machine.up().has_image

        assert "deployment/conveyor-metadata" in machine.objects
        assert not {"job/conveyor-prepare", "statefulset/conveyor-shell"} & machine.objects

    def test_preparation_is_made_up_for_once_the_image_is_there(self, machine):
        install.prepare(configuration(), machine.console)
        assert machine.changes == []
        machine.write("local_images", "")
        machine.up()

        install.prepare(configuration(), machine.console)
        prepared = machine.objects
        install.prepare(configuration(), machine.console)

        assert {"job/conveyor-prepare", "statefulset/conveyor-shell"} <= prepared
        assert sum("delete job" in call for call in machine.calls) == 1

    def test_an_image_of_a_registry_need_not_be_here(self, machine):
        assert machine.up(image="registry.corp/conveyor:0.1.0").has_image

    def test_a_small_engine_is_warned_about(self, machine):
        machine.write("size", "2 4000000000\n")

        machine.up()

        assert "The Docker engine has 2 CPUs and 4.0 GB of memory" in machine.shown


class TestUpIsRefused:
    """And nothing is changed."""

    def refused(self, machine: Machine, **kubeflow: str) -> UsageError:
        with pytest.raises(UsageError) as caught:
            machine.up(**kubeflow)
        assert machine.changes == []
        assert caught.value.fix
        return caught.value

    @pytest.mark.parametrize("program", ["docker", "git", "kind", "kubectl"])
    def test_without_a_program(self, machine, program):
        (machine.bin / program).unlink()

        assert self.refused(machine).what == f"{program} cannot be used."

    def test_with_an_old_program(self, machine):
        machine.write("version-kind", "kind v0.20.0 go1.20.4 linux/amd64\n")

        assert self.refused(machine).seen == "0.20.0, which is older than 0.32"

    def test_without_a_docker_engine(self, machine):
        machine.fail("docker version", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")

        error = self.refused(machine)

        assert error.fix == "Run: sudo systemctl start docker"

    def test_where_a_port_is_taken(self, machine):
        with socket.socket() as other:
            other.bind(("127.0.0.1", machine.ports[0]))
            other.listen()
            error = self.refused(machine)

        assert error.what.startswith(f"Port {machine.ports[0]} of this machine is taken")

    def test_on_a_kind_cluster_of_somebody_else(self, machine):
        machine.has_cluster()
        machine.remove("folder")

        assert "was not made by Conveyor" in self.refused(machine).what

    def test_on_a_kubeflow_of_somebody_else(self, real_cluster):
        real_cluster.put("namespace/kubeflow", metadata={"labels": {"kubernetes.io/metadata.name": "kubeflow"}})

        assert "was not made by Conveyor" in self.refused(real_cluster, context="production", image="corp/conveyor:1").what

    def test_without_manifests(self, machine):
        shutil.rmtree(machine.manifests)

        assert self.refused(machine).expected == "a checkout, with its manifests/kubeflow/overlays/kind"

    def test_into_another_namespace(self, machine):
        assert self.refused(machine, namespace="ml").where == "kubeflow.namespace"

    @pytest.mark.parametrize(("field", "value"), [("volume", "other"), ("mount_path", "/data"), ("user", 2000)])
    def test_with_what_the_manifests_do_not_hold(self, machine, field, value):
        assert self.refused(machine, **{field: value}).where == f"kubeflow.{field}"

    def test_with_an_image_without_a_tag(self, machine):
        with pytest.raises(ConfigError):
            machine.up(image="conveyor")
        assert machine.calls == []

    def test_on_kind_with_a_digest_which_a_loaded_image_has_not(self, machine):
        with pytest.raises(ConfigError):
            machine.up(image=PINNED)
        assert machine.calls == []

    def test_on_a_context_that_kubectl_does_not_know(self, real_cluster):
        error = self.refused(real_cluster, context="prodution", image="corp/conveyor:1")

        assert error.expected == "production"

    def test_on_a_real_cluster_without_a_registry(self, real_cluster):
        assert self.refused(real_cluster, context="production").expected == "REGISTRY/conveyor:0.1.0"

    def test_on_a_real_cluster_with_manifests_as_they_came(self, machine):
        machine.write("contexts", "production\n")

        error = self.refused(machine, context="production", image="corp/conveyor:1")

        assert error.seen == "example.com in PersistentVolume conveyor"

    def test_on_a_real_cluster_when_a_person_says_no(self, real_cluster):
        questions = []
        with pytest.raises(UsageError, match="Nothing was changed"):
            install.up(
                configuration(context="production", image="corp/conveyor:1"),
                real_cluster.console,
                lambda question: bool(questions.append(question)),
            )

        assert questions == ["Install Kubeflow Pipelines and Conveyor on context production, https://127.0.0.1:6443?"]
        assert real_cluster.changes == []

    def test_where_the_folder_of_the_volume_cannot_be_made(self, machine, tmp_path):
        (tmp_path / ".conveyor").write_text("a file")

        with pytest.raises(StorageError):
            machine.up()
        assert machine.changes == []


class TestRealCluster:
    def test_only_the_overlays_for_it_are_applied(self, real_cluster):
        installed = real_cluster.up(context="production", image="corp/conveyor:1")

        assert installed == install.Installed(None, has_image=True)
        assert not any(call.startswith(("kind", "docker")) for call in real_cluster.calls)
        assert f"apply --kustomize {real_cluster.manifests}/kubeflow/overlays/cluster" in "\n".join(real_cluster.changes)
        assert "server: files.corp" in real_cluster.inputs

    def test_the_image_may_be_named_by_its_digest(self, real_cluster):
        real_cluster.up(context="production", image=PINNED)

        assert f"image: {PINNED}" in real_cluster.inputs

    def test_a_managed_database_needs_a_secret_of_its_own(self, real_cluster):
        overlay = real_cluster.manifests / "conveyor" / "overlays" / "cluster" / "kustomization.yaml"
        document = yaml.safe_load(overlay.read_text())
        document["resources"].remove("../../database")
        overlay.write_text(yaml.safe_dump(document))
        real_cluster.render()

        with pytest.raises(ConveyorError, match="no Secret conveyor-metadata") as caught:
            real_cluster.up(context="production", image="corp/conveyor:1")

        assert "create secret generic conveyor-metadata" in caught.value.fix


class TestUpFailsLate:
    def test_deployments_that_do_not_become_ready_are_told_with_their_last_events(self, machine):
        machine.fail("wait deployment", "error: timed out waiting for the condition on deployments/ml-pipeline")
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
        machine.tells(
            pods=[
                pod("mysql-1", ready="True"),
                pod("ml-pipeline-7", containers=[{"name": "api", "state": waiting}]),
                pod("seaweedfs-2", conditions=[{"type": "PodScheduled", "status": "False", "message": "Insufficient memory."}]),
            ],
            events=[
                event("ml-pipeline-7", "Failed", "no route to host", "2026-03-01T06:00:01Z"),
                event("ml-pipeline-7", "Failed", "older", "2026-03-01T06:00:00Z"),
            ],
        )

        with pytest.raises(ConveyorError) as caught:
            machine.up()

        assert caught.value.seen == (
            "ml-pipeline-7: api: ImagePullBackOff: Back-off pulling image\n  Failed: no route to host\n"
            "seaweedfs-2: Unschedulable: Insufficient memory."
        )
        assert "kubectl --context kind-conveyor --namespace kubeflow describe pod ml-pipeline-7" in caught.value.fix

    def test_a_preparation_that_fails_names_its_log(self, machine):
        machine.write("job.json", json.dumps({"status": {"failed": 5, "conditions": [{"type": "Failed", "status": "True"}]}}))
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
        machine.tells(pods=[pod("conveyor-prepare-x", containers=[{"name": "prepare", "state": ended}])])

        with pytest.raises(ConveyorError) as caught:
            machine.up()

        assert caught.value.seen == "conveyor-prepare-x: prepare: Error, exit code 1"
        assert "logs job/conveyor-prepare" in caught.value.fix

    def test_a_database_without_its_secret_is_not_given_another_password(self, machine):
        machine.has_cluster()
        machine.remove("objects/secret/conveyor-metadata")
        machine.put("persistentvolumeclaim/conveyor-metadata")

        with pytest.raises(ConveyorError, match="the Secret with its password does not") as caught:
            machine.up()

        assert "delete deployment,pvc conveyor-metadata" in caught.value.fix


class TestRequireCluster:
    def test_a_cluster_that_is_ready(self, ready):
        require_cluster(configuration())

    @pytest.mark.parametrize("missing", ["namespace/kubeflow", "persistentvolumeclaim/conveyor", "secret/conveyor-metadata"])
    def test_what_is_missing_is_named(self, ready, missing):
        ready.remove(f"objects/{missing}")

        with pytest.raises(ConveyorError) as caught:
            require_cluster(configuration())

        assert caught.value.what == "There is no {} {!r} in the cluster.".format(*missing.split("/"))
        assert "conveyor cluster up" in caught.value.fix

    def test_a_secret_without_the_key(self, ready):
        with pytest.raises(ConveyorError, match="Secret conveyor-metadata has no key 'address'"):
            require_cluster(configuration(metadata={"secret": "conveyor-metadata", "key": "address"}))

    def test_a_secret_of_the_environment(self, ready):
        with pytest.raises(ConveyorError) as caught:
            require_cluster(configuration(environment={"TOKEN": {"secret": "tokens", "key": "a"}}))

        assert caught.value.where.startswith("kubeflow.environment.TOKEN")

    def test_a_lost_volume(self, ready):
        ready.put("persistentvolumeclaim/conveyor", status={"phase": "Lost"})

        with pytest.raises(ConveyorError, match="is gone"):
            require_cluster(configuration())

    def test_an_image_that_is_not_loaded(self, ready):
        ready.write("cluster_images", "conveyor:older\n")

        with pytest.raises(ConveyorError, match=re.escape("does not have the image conveyor:0.1.0")) as caught:
            require_cluster(configuration())

        assert caught.value.fix == "Run: conveyor image build, then conveyor image load"

    def test_an_image_of_one_pod_that_is_not_loaded(self, ready):
        with pytest.raises(ConveyorError, match=re.escape("does not have the image conveyor:0.1.0-gpu")) as caught:
            require_cluster(configuration(nodes={"Trainer": {"image": "conveyor:0.1.0-gpu"}}))

        assert caught.value.where == "kubeflow.nodes"
        assert "conveyor image load --set kubeflow.image=conveyor:0.1.0-gpu" in caught.value.fix

    def test_a_preparation_that_has_not_ended(self, ready):
        ready.put("job/conveyor-prepare", status={"active": 1})

        with pytest.raises(ConveyorError, match="not ready for runs") as caught:
            require_cluster(configuration())

        assert caught.value.seen == "it has not ended"

    def test_no_cluster(self, machine):
        with pytest.raises(UsageError, match="kubectl has no context 'kind-conveyor'") as caught:
            require_cluster(configuration())

        assert caught.value.fix == "Run: conveyor cluster up"

    def test_a_cluster_that_does_not_answer(self, ready):
        ready.remove("running")

        with pytest.raises(ConveyorError, match="does not answer") as caught:
            require_cluster(configuration())

        assert "127.0.0.1:6443 was refused" in caught.value.seen

    def test_what_a_person_may_not_see_is_taken_to_be_there(self, ready):
        ready.fail("get secret", 'Error from server (Forbidden): secrets "conveyor-metadata" is forbidden')

        require_cluster(configuration())


def pod(name: str, *, ready: str = "False", containers: list | None = None, conditions: list | None = None) -> dict:
    """As the API server tells of one."""
    return {
        "metadata": {"name": name},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": ready}, *(conditions or [])],
            "containerStatuses": containers or [],
        },
    }


def event(name: str, reason: str, message: str, moment: str) -> dict:
    """A warning about a pod."""
    return {"involvedObject": {"name": name}, "reason": reason, "message": message, "lastTimestamp": moment}
