# kfp reads the annotations of component functions as objects, so no postponed evaluation here.
from collections.abc import Callable

import pytest
import yaml
from kfp import dsl, kubernetes

from tests.unit.walker.packages import compiled, fail, say, sh
from tests.walker import Package, PackageError


def one_task() -> None:
    say(word="hello")


def test_a_package_of_the_sdk_is_accepted() -> None:
    package = Package.parse(compiled(one_task))
    assert package.spec.pipeline_info.name == "tiny"
    assert list(package.components) == ["comp-say"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("schemaVersion: 2.1.0", "schemaVersion: 2.0.0", "schema version", id="schema version"),
        pytest.param("name: tiny", "name: my_tiny", "my_tiny", id="name that Kubernetes refuses"),
        pytest.param("dependentTasks", "dependantTasks", "dependantTasks", id="unknown field"),
        pytest.param("image: shell:1", "image: shell:1\n        shell: sh", "shell", id="unknown field of a container"),
        pytest.param("name: comp-say", "name: comp-sing", "comp-sing", id="missing component"),
        pytest.param("executorLabel: exec-say", "executorLabel: exec-sing", "exec-sing", id="missing executor"),
        pytest.param("- say-2\n", "- sing\n", "sing", id="unknown task to wait for"),
        pytest.param("- say-2\n", "- say\n", "wait for one another", id="circle"),
        pytest.param("- sh\n", "- '{{item}}'\n", "Argo", id="tag of Argo's"),
    ],
)
def test_what_the_backend_would_not_run_is_refused(old: str, new: str, words: str) -> None:
    def pipeline() -> None:
        say(word="b").after(say(word="a"))

    text = compiled(pipeline)
    assert old in text
    with pytest.raises(PackageError, match=words):
        Package.parse(text.replace(old, new))


def test_a_cache_of_kfp_is_refused() -> None:
    with pytest.raises(PackageError, match="cache"):
        Package.parse(compiled(one_task, caching=True))


def test_two_components_must_not_have_one_container() -> None:
    @dsl.container_component
    def left(word: str) -> dsl.ContainerSpec:
        return sh("echo node")

    @dsl.container_component
    def right(number: int) -> dsl.ContainerSpec:
        return sh("echo node")

    def pipeline() -> None:
        left(word="a")
        right(number=1)

    with pytest.raises(PackageError, match="the same container"):
        Package.parse(compiled(pipeline))


def large() -> None:
    @dsl.container_component
    def carry() -> dsl.ContainerSpec:
        return sh("true", "x" * 2**17)

    carry()


def conditional(word: str = "a") -> None:
    with dsl.If(word == "a"):
        say(word=word)


def repeated() -> None:
    with dsl.ParallelFor(["a", "b"]) as word:
        say(word=word)


def with_fractional_backoff() -> None:
    fail(word="a").set_retry(2, "1s", 1.5)


def with_a_secret_volume() -> None:
    kubernetes.use_secret_as_volume(say(word="a"), "secret", "/secret")


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (large, "one argument"),
        (conditional, "conditions"),
        (repeated, "parameter_iterator"),
        (with_fractional_backoff, "backoff factor"),
        (with_a_secret_volume, "secret_as_volume"),
    ],
)
def test_a_pipeline_that_cannot_be_walked_is_refused(pipeline: Callable[..., None], words: str) -> None:
    with pytest.raises(PackageError, match=words):
        Package.parse(compiled(pipeline))


def test_a_document_that_is_no_spec_is_refused() -> None:
    with pytest.raises(PackageError, match="one pipeline spec"):
        Package.parse(compiled(one_task) + "\n---\n" + yaml.safe_dump({"kind": "Workflow"}))
