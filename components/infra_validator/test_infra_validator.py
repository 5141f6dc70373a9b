from __future__ import annotations

import math
import selectors
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.infra_validator.component import InfraValidator
from tfx.proto import infra_validator_pb2
from tfx.types import Artifact, Channel, standard_artifacts

from components.infra_validator import executor, probe
from components.infra_validator.component import ProcessInfraValidator, infra_validator_for
from components.infra_validator.docker import engine_answers
from pipeline import config
from pipeline.errors import ConfigError
from tests.fakes.waiting import PATIENCE, wait_until

Outputs = dict[str, tf.Tensor]


class Candidate(tf.Module):
    """A binary classifier of a number and a category, with the signatures that every served model has."""

    def __init__(self, distort: Callable[[Outputs], Outputs] = lambda outputs: outputs) -> None:
        super().__init__()
        self.weight = tf.Variable(0.5)
        self.distort = distort

    def predict(self, distance: tf.Tensor, carrier: tf.Tensor) -> Outputs:
        logit = self.weight * tf.where(tf.math.is_nan(distance), 0.0, distance) + tf.cast(carrier == b"UA", tf.float32)
        score = tf.sigmoid(logit)[:, None]
        return {
            "probabilities": tf.concat([1 - score, score], axis=1),
            "labels": tf.cast(score > 0.5, tf.int64),
            "score": score,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> Outputs:
        features = {
            "distance": tf.io.FixedLenFeature([], tf.float32, default_value=float("nan")),
            "carrier": tf.io.FixedLenFeature([], tf.string, default_value=""),
        }
        return self.distort(self.predict(**tf.io.parse_example(examples, features)))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="distance"),
            tf.TensorSpec([None], tf.string, name="carrier"),
        ]
    )
    def predict_raw(self, distance: tf.Tensor, carrier: tf.Tensor) -> Outputs:
        return self.predict(distance, carrier)


class Strict(Candidate):
    """Requires a carrier, as a model does whose schema gives it a shape."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> Outputs:
        features = {"distance": tf.io.FixedLenFeature([], tf.float32, 0.0), "carrier": tf.io.FixedLenFeature([], tf.string)}
        return self.predict(**tf.io.parse_example(examples, features))


class Forgetful(Candidate):
    """Imputes nothing."""

    def predict(self, distance: tf.Tensor, carrier: tf.Tensor) -> Outputs:
        return {
            name: values + tf.cast(distance[0] * 0, values.dtype) for name, values in super().predict(distance, carrier).items()
        }


def save(candidate: Candidate, folder: Path, *signatures: str) -> str:
    names = signatures or ("serving_default", "predict_raw")
    tf.saved_model.save(candidate, str(folder), signatures={name: getattr(candidate, name) for name in names})
    return str(folder)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """The split `eval` of an Examples artifact: 20 rows, every fourth without a carrier."""
    folder = tmp_path / "examples" / "Split-eval"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for row in range(20):
            example = tf.train.Example()
            example.features.feature["distance"].float_list.value.append(row / 10)
            if row % 4:
                example.features.feature["carrier"].bytes_list.value.append(b"UA" if row % 2 else b"DL")
            writer.write(example.SerializeToString())
    return folder


def files(split: Path) -> list[str]:
    return [str(path) for path in split.iterdir()]


def execute(model: str, split: Path, blessing_folder: Path, **properties: int) -> Artifact:
    candidate, examples, blessing = (
        standard_artifacts.Model(),
        standard_artifacts.Examples(),
        standard_artifacts.InfraBlessing(),
    )
    candidate.uri, examples.uri, blessing.uri = str(Path(model).parent), str(split.parent), str(blessing_folder)
    examples.split_names = '["train", "eval"]'
    executor.Executor().Do({"model": [candidate], "examples": [examples]}, {"blessing": [blessing]}, properties)
    return blessing


@pytest.mark.integration
def test_a_good_model_is_blessed_and_measured(tmp_path: Path, split: Path) -> None:
    model = save(Candidate(), tmp_path / "model" / "Format-Serving")
    blessing = execute(model, split, tmp_path / "blessing", requests=15, timeout_seconds=PATIENCE)
    assert blessing.get_string_custom_property("message") == ""
    assert blessing.get_int_custom_property("blessed") == 1
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["INFRA_BLESSED"]
    assert blessing.get_float_custom_property("requests") == 15
    assert blessing.get_float_custom_property("load_seconds") > 0
    assert 0 < blessing.get_float_custom_property("latency_p50_ms") <= blessing.get_float_custom_property("latency_p99_ms")


@pytest.mark.integration
def test_a_model_that_takes_too_long_is_not_blessed(tmp_path: Path, split: Path) -> None:
    model = save(Candidate(), tmp_path / "model" / "Format-Serving")
    blessing = execute(model, split, tmp_path / "blessing", requests=15, timeout_seconds=0)
    assert blessing.get_int_custom_property("blessed") == 0
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["INFRA_NOT_BLESSED"]
    assert "within 0 s" in blessing.get_string_custom_property("message")


def test_each_step_may_take_the_whole_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = tmp_path / "steps.py"
    steps.write_text(
        "import json, sys, time\n"
        "for step in range(4):\n"
        "    print('step', step, flush=True)\n"
        "    time.sleep(0.1)\n"
        "open(sys.argv[1], 'w').write(json.dumps({'blessed': True}))\n"
    )
    granted = []

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            granted.append(timeout)
            return super().select(timeout)

    monkeypatch.setattr(executor, "_PROBE", steps)
    monkeypatch.setattr(selectors, "DefaultSelector", Selector)
    assert executor.probe("model", [], requests=1, timeout_seconds=PATIENCE) == {"blessed": True}
    assert len(granted) > 1
    assert set(granted) == {PATIENCE}


@pytest.mark.parametrize(("script", "step"), [("print('loading', flush=True)", "loading"), ("os.close(1)", "ending")])
def test_a_step_without_an_end_is_a_refusal_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, step: str
) -> None:
    hanging = tmp_path / "hanging.py"
    reached, popen = tmp_path / "reached", subprocess.Popen
    hanging.write_text(f"import os, pathlib, time; {script}; pathlib.Path({str(reached)!r}).touch(); time.sleep(600)")

    def start_and_reach_the_step(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options)
        wait_until(reached.exists, "the step")
        return process

    monkeypatch.setattr(executor, "_PROBE", hanging)
    monkeypatch.setattr(subprocess, "Popen", start_and_reach_the_step)
    verdict = executor.probe("model", [], requests=1, timeout_seconds=0.2)
    assert not verdict["blessed"]
    assert verdict["message"] == f"It did not get on within 0.2 s (infra_validator.timeout_seconds): {step}."


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("raise MemoryError('no room')", "exit status 1, MemoryError: no room"),
    ],
)
def test_a_crash_is_a_refusal_that_names_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    crashing = tmp_path / "crashing.py"
    crashing.write_text(script)
    monkeypatch.setattr(executor, "_PROBE", crashing)
    verdict = executor.probe("model", [], requests=1, timeout_seconds=PATIENCE)
    assert not verdict["blessed"]
    assert message in verdict["message"]


def nan_score(outputs: Outputs) -> Outputs:
    return {**outputs, "score": outputs["score"] * float("nan")}


def one_probability(outputs: Outputs) -> Outputs:
    return {**outputs, "probabilities": outputs["probabilities"][:1]}


def shifted_score(outputs: Outputs) -> Outputs:
    return {**outputs, "score": outputs["score"] + 1e-4}


def other_labels(outputs: Outputs) -> Outputs:
    return {**outputs, "labels": 1 - outputs["labels"]}


def no_score(outputs: Outputs) -> Outputs:
    return {name: values for name, values in outputs.items() if name != "score"}


def only_logits(outputs: Outputs) -> Outputs:
    return {"logits": outputs["score"]}


@pytest.mark.parametrize(
    ("distort", "message"),
    [
        (nan_score, "score is not finite in 20 places"),
        (one_probability, r"probabilities has the shape \[1, 2\] for 20 rows, not \[20, 2\]"),
        (shifted_score, "differ by 0.0001 in score"),
        (other_labels, "differ in labels"),
        (no_score, "answers .*, but predict_raw answers .*'score'"),
        (only_logits, "neither probabilities nor predictions"),
    ],
)
def test_answers_that_no_client_could_use_are_refused(
    tmp_path: Path, split: Path, distort: Callable[[Outputs], Outputs], message: str
) -> None:
    with pytest.raises(probe.RefusedError, match=message):
        probe.validate(save(Candidate(distort), tmp_path / "model"), 100, files(split))


def test_weighed_probabilities_have_a_value_for_each_class() -> None:
    of_classes, of_rows = np.full((20, 3), 1 / 3, np.float32), np.zeros((20, 1), np.float32)
    probe.check({"probabilities": of_classes, "weighed_probabilities": of_classes, "probability": of_rows}, 20)
    with pytest.raises(probe.RefusedError, match=r"probability has the shape \[20, 3\] for 20 rows, not \[20, 1\]"):
        probe.check({"probabilities": of_classes, "probability": of_classes}, 20)


def test_a_model_that_imputes_nothing_is_refused(tmp_path: Path, split: Path) -> None:
    with pytest.raises(probe.RefusedError, match=r"A row without distance: .* is not finite"):
        probe.validate(save(Forgetful(), tmp_path / "model"), 100, files(split))


def test_a_feature_that_the_schema_requires_may_be_required(tmp_path: Path, split: Path) -> None:
    complete_rows = [example for example in probe.read(files(split), 20) if "carrier" in example.features.feature]
    with tf.io.TFRecordWriter(str(tmp_path / "complete")) as writer:
        for example in complete_rows:
            writer.write(example.SerializeToString())
    model = save(Strict(), tmp_path / "model")
    assert probe.validate(model, 100, [str(tmp_path / "complete")])["requests"] == 15
    with pytest.raises(probe.RefusedError, match=r"carrier .* is required"):
        probe.validate(model, 100, files(split))


def test_a_missing_signature_is_refused(tmp_path: Path, split: Path) -> None:
    with pytest.raises(probe.RefusedError, match="no signature predict_raw"):
        probe.validate(save(Candidate(), tmp_path / "model", "serving_default"), 100, files(split))


def test_what_only_a_newer_loader_restores_is_refused(tmp_path: Path, split: Path) -> None:
    keras_model = tf.keras.Sequential([tf.keras.layers.Input((1,)), tf.keras.layers.Dense(1)])
    keras_model.serving_default = tf.function(
        lambda examples: {"predictions": keras_model(tf.strings.length(examples)[:, None])},
        input_signature=[tf.TensorSpec([None], tf.string, name="examples")],
    )
    keras_model.predict_raw = tf.function(
        lambda distance: {"predictions": keras_model(distance[:, None])},
        input_signature=[tf.TensorSpec([None], tf.float32, name="distance")],
    )
    with pytest.raises(probe.RefusedError, match="Could not find variable"):
        probe.validate(save(keras_model, tmp_path / "model"), 100, files(split))


@pytest.mark.parametrize("content", [None, b"", b"not a graph"])
def test_a_broken_model_file_is_refused(tmp_path: Path, split: Path, content: bytes | None) -> None:
    model = Path(save(Candidate(), tmp_path / "model"))
    (model / "saved_model.pb").unlink()
    if content is not None:
        (model / "saved_model.pb").write_bytes(content)
    with pytest.raises(probe.RefusedError, match="could not be loaded"):
        probe.validate(str(model), 100, files(split))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(probe.RefusedError, match="no row"):
        probe.validate(save(Candidate(), tmp_path / "model"), 100, [])


def test_gaps_are_completed_from_other_rows(split: Path) -> None:
    dtypes = {"distance": tf.float32, "carrier": tf.string, "stops": tf.int64}
    inputs = {name: tf.TensorSpec([None], dtype) for name, dtype in dtypes.items()}
    rows = probe.raw_tensors(probe.complete(probe.read(files(split), 3), inputs), inputs)
    assert {name: values.tolist() for name, values in rows.items()} == {
        "distance": pytest.approx([0.0, 0.1, 0.2]),
        "carrier": [b"UA", b"UA", b"DL"],
        "stops": [0, 0, 0],
    }


def test_lists_end_with_a_missing_value_and_vectors_are_as_long_as_they_are() -> None:
    rows = [tf.train.Example() for _ in range(3)]
    rows[0].features.feature["tags"].bytes_list.value.extend([b"a", b"", b"b"])
    rows[1].features.feature["vector"].float_list.value.extend([1, math.nan])
    inputs = {
        "tags": tf.TensorSpec([None, None], tf.string),
        "vector": tf.TensorSpec([None, 2], tf.float32),
        "never": tf.TensorSpec([None, 2], tf.int64),
    }
    tensors = probe.raw_tensors(probe.complete(rows, inputs), inputs)
    assert tensors["tags"].tolist() == [[b"a", b"b", b"", b""]] * 3
    np.testing.assert_array_equal(tensors["vector"], [[1, math.nan]] * 3)
    assert tensors["never"].tolist() == [[0, 0]] * 3


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a `docker` command on the path that answers as a shell script says."""
    engine_answers.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def install(script: str) -> None:
        command = tmp_path / "bin" / "docker"
        command.parent.mkdir()
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)

    yield install
    engine_answers.cache_clear()


def node_for(**settings: Any) -> Any:
    return infra_validator_for(
        config.InfraValidator(**settings), Channel(standard_artifacts.Model), Channel(standard_artifacts.Examples)
    )


def test_without_an_engine_a_process_serves(docker: Callable[[str], None]) -> None:
    docker("exit 1")
    node = node_for(requests=7, timeout_seconds=9)
    assert isinstance(node, ProcessInfraValidator)
    assert set(node.outputs) == {"blessing"}
    assert (node.exec_properties["requests"], node.exec_properties["timeout_seconds"]) == (7, 9)


def test_an_engine_that_lacks_the_image_is_left_alone(docker: Callable[[str], None]) -> None:
    docker('[ "$1" = version ]')
    assert isinstance(node_for(), ProcessInfraValidator)
    assert isinstance(node_for(runner="docker"), InfraValidator)


@pytest.mark.parametrize(
    ("image", "name", "tags", "digests"),
    [
        ("tensorflow/serving:2.20.0", "tensorflow/serving", ["2.20.0"], []),
        ("registry:5000/serving", "registry:5000/serving", ["latest"], []),
        (f"registry:5000/serving@sha256:{64 * '1'}", "registry:5000/serving", [], [f"sha256:{64 * '1'}"]),
        ("serving", "serving", ["latest"], []),
    ],
)
def test_an_engine_with_the_image_serves_in_a_container(
    docker: Callable[[str], None], image: str, name: str, tags: list[str], digests: list[str]
) -> None:
    docker(f'[ "$1 $2 $3" = "image inspect {image}" ]')
    node = node_for(image=image)
    assert isinstance(node, InfraValidator)
    assert set(node.outputs) == {"blessing"}
    serving = json_format.Parse(node.exec_properties["serving_spec"], infra_validator_pb2.ServingSpec()).tensorflow_serving
    assert (serving.image_name, list(serving.tags), list(serving.digests)) == (name, tags, digests)


def test_docker_asked_for_without_an_engine_is_a_configuration_error(docker: Callable[[str], None]) -> None:
    docker("exit 1")
    with pytest.raises(ConfigError, match="No Docker engine"):
        node_for(runner="docker")
