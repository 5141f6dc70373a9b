"""How versions come and go: policies, labels, broken folders, configuration that changes, and switches under load."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.modelserver.status import StatusError
from tests.fakes.waiting import wait_until
from tests.integration.serving.modelserver.running import Running, model_spec, serving
from tests.integration.serving.saved_models import write_half_plus, write_warmup


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model's folder with version 1."""
    write_half_plus(tmp_path / "half" / "1", 1.0)
    return tmp_path / "half"


@pytest.fixture
def monitoring(tmp_path: Path) -> Path:
    """A configuration that shows metrics."""
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config { enable: true }")
    return file


def push(base: Path, version: int, offset: float | None = None) -> None:
    """Adds a version as a careful pusher does: whole or not at all."""
    partial = write_half_plus(base.with_name(f"partial-{version}"), float(version) if offset is None else offset)
    partial.rename(base / str(version))


def models_config(base: Path, policy: str = "", **labels: int) -> str:
    entries = "".join(f'version_labels {{ key: "{label}" value: {version} }} ' for label, version in labels.items())
    policies = f"model_version_policy {{ {policy} }}" if policy else ""
    return (
        f'model_config_list {{ config {{ name: "half" base_path: "{base}" '
        f'model_platform: "tensorflow" {policies} {entries} }} }}'
    )


def write(file: Path, text: str) -> None:
    """Replaces a file in one step."""
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(file)


@contextmanager
def load(server: Running, clients: int = 4) -> Iterator[Counter[str]]:
    """Asks over gRPC and REST without a pause; counts what was answered, by version, and what failed."""
    outcomes: Counter[str] = Counter()
    stop = Event()

    def over_grpc() -> None:
        while not stop.is_set():
            try:
                value, version = server.half_plus(0.0)
                outcomes[f"version {version}" if value == version else f"version {version} said {value}"] += 1
            except grpc.RpcError as error:
                outcomes[f"{error.code().name}: {error.details()}"] += 1

    def over_rest() -> None:
        with httpx.Client(base_url=f"http://localhost:{server.rest_port}", timeout=20) as http:
            while not stop.is_set():
                try:
                    answer = http.post("/v1/models/half:predict", json={"instances": [0.0]})
                    outcomes[f"version {answer.json()['predictions'][0]:g}" if answer.is_success else answer.text] += 1
                except httpx.HTTPError as error:
                    outcomes[repr(error)] += 1

    threads = [Thread(target=each) for each in [over_grpc, over_rest] * (clients // 2)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_newest_version_is_served_and_the_one_before_unloaded(base: Path) -> None:
    with serving(model_name="half", model_base_path=str(base)) as server:
        assert server.half_plus(0.0) == (1.0, 1)

        push(base, 2)
        wait_until(lambda: server.states() == {1: "END", 2: "AVAILABLE"})

        assert server.half_plus(0.0) == (2.0, 2)
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            server.half_plus(0.0, version=1)


def test_switches_under_load_lose_nothing(base: Path) -> None:
    with serving(model_name="half", model_base_path=str(base)) as server, load(server) as outcomes:
        for version in (2, 3, 4):
            wait_until(lambda: outcomes[f"version {version - 1}"] > 20)  # noqa: B023 - called at once
            push(base, version)
        wait_until(lambda: outcomes["version 4"] > 20)

    assert set(outcomes) == {"version 1", "version 2", "version 3", "version 4"}


def test_a_version_that_is_deleted_is_replaced_by_the_one_before(base: Path) -> None:
    push(base, 2)
    with serving(model_name="half", model_base_path=str(base)) as server, load(server) as outcomes:
        wait_until(lambda: outcomes["version 2"] > 20)
        (base / "2").rename(base / "withdrawn")
        wait_until(lambda: outcomes["version 1"] > 20)

    assert set(outcomes) == {"version 1", "version 2"}


def corrupt_graph(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"this is no graph")


def empty_graph(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"")


def truncated_variables(version: Path) -> None:
    (data,) = (version / "variables").glob("variables.data*")
    os.truncate(data, 1)


def missing_variables(version: Path) -> None:
    shutil.rmtree(version / "variables")


def unreadable_warmup(version: Path) -> None:
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"these are no records")


def failing_warmup(version: Path) -> None:
    request = predict_pb2.PredictRequest(model_spec=model_spec("half"))
    request.inputs["z"].CopyFrom(tf.make_tensor_proto([1.0]))
    write_warmup(version, request)


@pytest.mark.parametrize(
    "spoil", [corrupt_graph, empty_graph, truncated_variables, missing_variables, unreadable_warmup, failing_warmup]
)
def test_a_broken_version_never_takes_the_good_one_down(base: Path, spoil: Callable[[Path], None]) -> None:
    with serving(model_name="half", model_base_path=str(base)) as server, load(server, clients=2) as outcomes:
        broken = write_half_plus(base.with_name("broken"), 2.0)
        spoil(broken)
        broken.rename(base / "2")
        wait_until(lambda: server.states() == {1: "AVAILABLE", 2: "END"})
        status = server.get("half/versions/2").json()["model_version_status"][0]["status"]
        before = outcomes["version 1"]
        wait_until(lambda: outcomes["version 1"] > before + 20)
        push(base, 3)
        wait_until(lambda: outcomes["version 3"] > 20)

    assert status["error_code"] != "OK"
    assert status["error_message"]
    assert set(outcomes) == {"version 1", "version 3"}


def test_a_version_that_is_being_copied_waits_for_its_graph(base: Path) -> None:
    whole = write_half_plus(base.with_name("whole"), 2.0)
    with serving(model_name="half", model_base_path=str(base)) as server:
        shutil.copytree(whole / "variables", base / "2" / "variables")
        wait_until(lambda: server.half_plus(0.0) == (1.0, 1))
        assert 2 not in server.states()

        shutil.copy(whole / "saved_model.pb", base / "2" / "saved_model.pb")
        wait_until(lambda: server.states().get(2) == "AVAILABLE")


def test_a_version_that_was_half_copied_is_tried_again_when_the_rest_is_there(base: Path) -> None:
    whole = write_half_plus(base.with_name("whole"), 2.0)
    with serving(model_name="half", model_base_path=str(base)) as server:
        (base / "2").mkdir()
        shutil.copy(whole / "saved_model.pb", base / "2" / "saved_model.pb")
        wait_until(lambda: server.states().get(2) == "END")
        assert server.half_plus(0.0) == (1.0, 1)

        shutil.copytree(whole / "variables", base / "2" / "variables")
        wait_until(lambda: server.states().get(2) == "AVAILABLE")

        assert server.half_plus(0.0) == (2.0, 2)


def test_a_version_that_failed_is_tried_again_as_often_as_the_flag_says(base: Path, monitoring: Path) -> None:
    flags = {"max_num_load_retries": 2, "load_retry_interval_micros": 100_000, "monitoring_config_file": str(monitoring)}
    broken = write_half_plus(base.with_name("broken"))
    corrupt_graph(broken)

    with serving(model_name="half", model_base_path=str(base), **flags) as server:
        broken.rename(base / "2")
        wait_until(lambda: server.states().get(2) == "END")
        page = server.http.get("/monitoring/prometheus/metrics").text

    assert f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{base}/2",status="INTERNAL"}} 3' in page


def test_a_server_whose_only_version_is_broken_does_not_start(base: Path) -> None:
    corrupt_graph(base / "1")

    with (
        pytest.raises(StatusError, match="1 model\\(s\\) did not become available"),
        serving(model_name="half", model_base_path=str(base)),
    ):
        pass


def test_a_folder_that_goes_away_changes_nothing(base: Path) -> None:
    with serving(model_name="half", model_base_path=str(base)) as server:
        base.rename(base.with_name("elsewhere"))
        with load(server, clients=2) as outcomes:
            wait_until(lambda: outcomes["version 1"] > 300)

    assert set(outcomes) == {"version 1"}


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", {3}),
        ("latest { num_versions: 2 }", {2, 3}),
        ("all {}", {1, 2, 3}),
        ("specific { versions: 1 versions: 3 }", {1, 3}),
    ],
)
def test_policies(base: Path, tmp_path: Path, policy: str, versions: set[int]) -> None:
    push(base, 2)
    push(base, 3)
    (base / "temporary").mkdir()
    file = tmp_path / "models.config"
    file.write_text(models_config(base, policy))

    with serving(model_config_file=str(file)) as server:
        wait_until(lambda: server.states() == dict.fromkeys(versions, "AVAILABLE"))
        for version in versions:
            assert server.half_plus(0.0, version=version) == (float(version), version)
        assert server.half_plus(0.0) == (3.0, 3)


def test_labels_move_with_the_configuration_and_lose_nothing(base: Path, tmp_path: Path) -> None:
    push(base, 2)
    file = tmp_path / "models.config"
    both = "specific { versions: 1 versions: 2 }"
    file.write_text(models_config(base, both, stable=1))
    flags = {"model_config_file_poll_wait_seconds": 1, "allow_version_labels_for_unavailable_models": True}

    with serving(model_config_file=str(file), **flags) as server, load(server, clients=2) as outcomes:
        assert server.half_plus(0.0, label="stable") == (1.0, 1)
        write(file, models_config(base, both, stable=1, canary=2))
        wait_until(lambda: _labelled(server, "canary") == 2)
        assert _labelled(server, "stable") == 1

        write(file, models_config(base, both, stable=2))
        wait_until(lambda: _labelled(server, "stable") == 2)
        assert _labelled(server, "canary") is None

        write(file, models_config(base, "specific { versions: 2 }", stable=2))
        wait_until(lambda: server.states() == {1: "END", 2: "AVAILABLE"})
        assert _labelled(server, "stable") == 2

    assert set(outcomes) == {"version 2"}


def _labelled(server: Running, label: str) -> int | None:
    try:
        return server.half_plus(0.0, label=label)[1]
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return None


def test_a_label_of_a_version_that_is_not_loaded_needs_the_flag(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(models_config(base, stable=1))

    with pytest.raises(StatusError, match="not currently available for inference"), serving(model_config_file=str(file)):
        pass


def test_a_label_does_not_leave_a_loaded_version_for_one_that_is_not(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(models_config(base, stable=1))
    flags = {"model_config_file_poll_wait_seconds": 1, "allow_version_labels_for_unavailable_models": True}

    with serving(model_config_file=str(file), **flags) as server:
        write(file, models_config(base, "specific { versions: 9 }", stable=9))
        with load(server, clients=2) as outcomes:
            wait_until(lambda: outcomes["version 1"] > 400)
        assert _labelled(server, "stable") == 1


def test_a_configuration_that_is_broken_or_gone_changes_nothing(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(models_config(base))

    with serving(model_config_file=str(file), model_config_file_poll_wait_seconds=1) as server:
        with load(server, clients=2) as outcomes:
            write(file, "this is no configuration {")
            wait_until(lambda: outcomes["version 1"] > 300)
            file.unlink()
            wait_until(lambda: outcomes["version 1"] > 600)
        push(base, 2)
        write(file, models_config(base, "all {}"))
        wait_until(lambda: server.states() == {1: "AVAILABLE", 2: "AVAILABLE"})

    assert set(outcomes) == {"version 1"}


def test_warm_up_requests_are_replayed_before_a_version_answers(base: Path, monitoring: Path) -> None:
    request = predict_pb2.PredictRequest(model_spec=model_spec("half"))
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    write_warmup(write_half_plus(base / "2", 2.0), request, request)
    with serving(model_name="half", model_base_path=str(base), monitoring_config_file=str(monitoring)) as server:
        page = server.http.get("/monitoring/prometheus/metrics").text

    assert f':tensorflow:serving:model_warmup_records_read{{model_path="{base}/2",status="OK"}} 2' in page


def test_files_are_closed_again_over_many_switches(base: Path) -> None:
    with serving(model_name="half", model_base_path=str(base)) as server:
        files = []
        for version in range(2, 8):
            push(base, version)
            wait_until(lambda: server.states().get(version) == "AVAILABLE")  # noqa: B023 - called at once
            wait_until(lambda: server.states().get(version - 1) == "END")  # noqa: B023
            files.append(len(os.listdir("/proc/self/fd")))

    assert max(files) - files[0] < 10
