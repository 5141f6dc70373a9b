"""What flags and their files change: batching, TLS, sessions, and checks of signatures."""

from __future__ import annotations

import datetime
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2

from pipeline.errors import ConfigError
from serving.modelserver.flags import Flags
from serving.modelserver.server import ModelServer
from serving.modelserver.status import StatusError
from tests.integration.serving.modelserver.running import TIMEOUT, model_spec, serving
from tests.integration.serving.saved_models import write_half_plus


def test_requests_in_batches_get_the_answers_that_they_would_get_alone(folder: Path, tmp_path: Path) -> None:
    batching = tmp_path / "batching.config"
    batching.write_text("max_batch_size { value: 32 } batch_timeout_micros { value: 5000 } num_batch_threads { value: 2 }")
    flags = {"enable_batching": True, "batching_parameters_file": str(batching), "grpc_max_threads": 32}

    with serving(model_name="half", model_base_path=str(folder / "half"), **flags) as server:
        with ThreadPoolExecutor(32) as threads:
            answers = list(threads.map(lambda x: server.half_plus(float(x))[0], range(300)))
        rest = server.post("half:predict", {"instances": [1.0, 2.0]}).json()
        regress = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
        regressed = server.post("half:regress", regress).json()
        too_large = server.post("half:predict", {"instances": [0.0] * 33})

    assert answers == [x / 2 + 3 for x in range(300)]
    assert rest == {"predictions": [3.5, 4.0]}
    assert regressed == {"results": [3.5, 4.0]}
    assert too_large.status_code == 400
    assert "larger than maximum input batch size" in too_large.json()["error"]


def test_larger_requests_are_taken_if_a_flag_says_so(folder: Path) -> None:
    values = [0.5] * 5_000_000
    with serving(model_name="half", model_base_path=str(folder / "half"), max_request_bytes=64 * 2**20) as server:
        request = predict_pb2.PredictRequest(model_spec=model_spec("half"))
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array(values, np.float32)))
        over_grpc = server.predictions.Predict(request, timeout=TIMEOUT).outputs["y"].float_val
        over_rest = server.post("half:predict", {"instances": values})

    assert len(over_grpc) == len(values)
    assert over_rest.status_code == 200


def test_a_version_may_bring_parameters_of_its_own(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "half" / "1", tmp_path / "half" / "1")
    (tmp_path / "half" / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    flags = {"enable_batching": True, "enable_per_model_batching_parameters": True}

    with serving(model_name="half", model_base_path=str(tmp_path / "half"), **flags) as server:
        assert server.post("half:predict", {"instances": [0.0] * 2}).status_code == 200
        assert server.post("half:predict", {"instances": [0.0] * 3}).status_code == 400


def test_grpc_with_tls(folder: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    config = tmp_path / "ssl.config"
    config.write_text(f"server_key: {private!r}\nserver_cert: {certificate.decode()!r}\n")

    with serving(model_name="keras", model_base_path=str(folder / "keras"), ssl_config_file=str(config)) as server:
        request = health_pb2.HealthCheckRequest()
        with grpc.secure_channel(f"localhost:{server.port}", grpc.ssl_channel_credentials(certificate)) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT)
        with pytest.raises(grpc.RpcError):
            health_pb2_grpc.HealthStub(server.channel).Check(request, timeout=TIMEOUT)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_clients_that_nobody_could_verify_are_told(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "ssl.config"
    config.write_text("client_verify: true")
    flags = Flags(model_base_path=str(folder / "half"), ssl_config_file=str(config))
    with pytest.raises(ConfigError, match="not by whom") as caught:
        ModelServer(flags)
    assert "custom_ca" in caught.value.fix


def test_an_address_of_ipv6(folder: Path) -> None:
    with (
        serving(model_name="half", model_base_path=str(folder / "half"), host="::1") as server,
        grpc.insecure_channel(f"[::1]:{server.port}") as channel,
    ):
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_threads_of_a_session(folder: Path, tmp_path: Path) -> None:
    session = tmp_path / "session.config"
    session.write_text("allow_soft_placement: true")
    flags = {"tensorflow_session_config_file": str(session), "tensorflow_session_parallelism": 1}

    with serving(model_name="half", model_base_path=str(folder / "half"), **flags) as server:
        assert server.half_plus(0.0) == (3.0, 2)


def test_a_session_configuration_that_is_none_is_told(folder: Path, tmp_path: Path) -> None:
    session = tmp_path / "session.config"
    session.write_text("threads: 3")

    with (
        pytest.raises(ConfigError) as failed,
        serving(model_base_path=str(folder / "half"), tensorflow_session_config_file=str(session)),
    ):
        pass

    assert failed.value.where == str(session)
    assert "no field named" in failed.value.seen


def test_tags_that_a_model_does_not_have(folder: Path) -> None:
    with (
        pytest.raises(StatusError, match="did not become available"),
        serving(model_name="half", model_base_path=str(folder / "half"), saved_model_tags="serve,gpu"),
    ):
        pass


def test_signatures_of_another_kind_are_refused_if_a_flag_says_so(folder: Path) -> None:
    flags = {"enable_signature_method_name_check": True}
    with serving(model_name="half", model_base_path=str(folder / "half"), **flags) as server:
        body = {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}

        assert server.post("half:classify", body).status_code == 200
        refused = server.post("half:regress", body | {"signature_name": "classify_x_to_y"})

    assert refused.status_code == 400
    assert "Expected regression signature method_name to be tensorflow/serving/regress" in refused.json()["error"]


def test_channel_arguments(folder: Path) -> None:
    flags = {"model_name": "keras", "model_base_path": str(folder / "keras")}

    with serving(grpc_channel_arguments="grpc.max_connection_age_ms=2000,grpc.primary_user_agent=x", **flags) as server:
        assert server.states("keras") == {1: "AVAILABLE"}
    with pytest.raises(ConfigError, match="has no value"), serving(grpc_channel_arguments="grpc.keepalive", **flags):
        pass


def test_several_versions_can_be_loaded_at_once(tmp_path: Path) -> None:
    for version in range(1, 5):
        write_half_plus(tmp_path / "half" / str(version), float(version))
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "half" base_path: "{tmp_path}/half" model_platform: "tensorflow" '
        "model_version_policy { all {} } } }"
    )

    with serving(model_config_file=str(config), num_load_threads=4, num_unload_threads=2) as server:
        assert {server.half_plus(0.0, version=version) for version in server.states()} <= {(float(v), v) for v in range(1, 5)}
