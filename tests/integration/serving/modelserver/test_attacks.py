"""No small request takes the model server down: each of these once did, or was answered as a fault of the server."""

from __future__ import annotations

import base64
import gzip
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from tests.fakes.ports import free_ports
from tests.fakes.waiting import wait_until
from tests.integration.serving.attacks import GrpcAttacker, HttpAttacker, attack
from tests.integration.serving.modelserver.running import TIMEOUT, Running, model_spec
from tests.integration.serving.watched import Watched, limit_memory

LIMIT = 16 * 2**20
SEED = 20261129
PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture(scope="module")
def attacked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Watched]]:
    """The model server as a program whose memory is limited."""
    port, rest_port = free_ports(2)
    base = tmp_path_factory.mktemp("attacked")
    config = base / "models.config"
    config.write_text(
        "model_config_list {\n"
        + "".join(
            f'config {{ name: "{name}" base_path: "file://{folder}/{name}" model_platform: "tensorflow" }}\n'
            for name in ("half", "module")
        )
        + "}"
    )
    line = [sys.executable, "-m", "serving.modelserver", f"--port={port}", f"--rest_api_port={rest_port}"]
    options = [f"--model_config_file={config}", "--grpc_channel_arguments=grpc.server_handshake_timeout_ms=1000"]
    log = base / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*line, *options], stdout=output, stderr=subprocess.STDOUT, preexec_fn=limit_memory)
    running = Running(port, rest_port)
    try:
        wait_until(lambda: process.poll() is not None or is_well(running))
        yield running, Watched(process.pid, lambda: well(running))
        assert "Traceback" not in log.read_text()
    finally:
        running.close()
        process.kill()
        process.wait()


@pytest.fixture
def server(attacked: tuple[Running, Watched]) -> Iterator[Running]:
    """The server, which is well and has taken little memory when the test is done."""
    running, watched = attacked
    watched.forget()
    yield running
    watched.check()
    assert running.half_plus(1.0) == (3.5, 2)


def well(running: Running) -> None:
    health = health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert running.get("half").status_code == 200


def is_well(running: Running) -> bool:
    try:
        well(running)
    except Exception:
        return False
    return True


def tensor(dtype: int, *shape: int, **values: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def send_chunks(connection: socket.socket, number: int) -> None:
    for _ in range(number):
        connection.sendall(b"100000\r\n%s\r\n" % bytes(2**20))


def failure(running: Running, proto: tensor_pb2.TensorProto, **spec: Any) -> tuple[str, str]:
    """The code and the text that a Predict call of one tensor fails with."""
    request = predict_pb2.PredictRequest(model_spec=model_spec(**({"name": "half"} | spec)))
    request.inputs["x"].CopyFrom(proto)
    with pytest.raises(grpc.RpcError) as failed:
        running.predictions.Predict(request, timeout=TIMEOUT)
    return failed.value.code().name, failed.value.details()


class TestGrpc:
    @pytest.mark.parametrize(
        "proto",
        [
            tensor(types_pb2.DT_FLOAT, 2**40, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 2**40),
            tensor(types_pb2.DT_FLOAT, 2**20, 2**20, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 2**32, 2**32, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 2**62, 4, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 2**23, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 0, 2**40),
            tensor(types_pb2.DT_FLOAT, -1, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, *[1] * 64, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, *[1] * 100_000, float_val=[1.0]),
            tensor(types_pb2.DT_FLOAT, 3, tensor_content=b"12345"),
            tensor(types_pb2.DT_FLOAT, 2, float_val=[1.0, 2.0, 3.0]),
        ],
    )
    def test_a_shape_that_the_values_do_not_fill(self, server: Running, proto: tensor_pb2.TensorProto) -> None:
        code, message = failure(server, proto)

        assert code == "INVALID_ARGUMENT"
        assert "tensor parsing error: x" in message

    def test_a_value_may_be_repeated_within_limits(self, server: Running) -> None:
        request = predict_pb2.PredictRequest(model_spec=model_spec("half"))
        request.inputs["x"].CopyFrom(tensor(types_pb2.DT_FLOAT, 1000, float_val=[1.0]))

        assert list(server.predictions.Predict(request, timeout=TIMEOUT).outputs["y"].float_val) == [3.5] * 1000

    @pytest.mark.parametrize("dtype", [types_pb2.DT_VARIANT, types_pb2.DT_RESOURCE, types_pb2.DT_HALF, 99, 9999])
    def test_types_that_nobody_asked_for(self, server: Running, dtype: int) -> None:
        code, message = failure(server, tensor(dtype, 0))

        assert code == "INVALID_ARGUMENT"
        assert "Expects arg[0] to be float but" in message

    def test_an_example_that_cannot_be_parsed(self, server: Running) -> None:
        request = predict_pb2.PredictRequest(model_spec=model_spec("module", signature="label"))
        request.inputs["inputs"].CopyFrom(tensor(types_pb2.DT_STRING, 1, string_val=[b"\xff\xfe\xfd"]))
        with pytest.raises(grpc.RpcError) as failed:
            server.predictions.Predict(request, timeout=TIMEOUT)

        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "Could not parse example input" in failed.value.details()

    @pytest.mark.parametrize("message", [b"\xff", b"\x0a\x04\x0a\x02\xff\xfe", b"\x12" * 1000])
    def test_a_message_that_is_none(self, server: Running, message: bytes) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            server.channel.unary_unary(PREDICT)(message, timeout=TIMEOUT)

        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert failed.value.details() == "The message is not a PredictRequest."

    def test_a_call_without_a_message(self, server: Running) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            server.channel.stream_unary(PREDICT)(iter(()), timeout=TIMEOUT)

        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    def test_an_error_keeps_its_code_and_text_however_long_it_is(self, server: Running) -> None:
        code, message = failure(server, tensor(types_pb2.DT_FLOAT, 0), signature="x" * 100_000)

        assert code == "FAILED_PRECONDITION"
        assert message.startswith('Serving signature key "xxx')
        assert message.endswith("x...TRUNCATED")
        assert len(message) == 1024 + len("...TRUNCATED")

    def test_a_message_that_is_too_large(self, server: Running) -> None:
        code, message = failure(server, tensor(types_pb2.DT_FLOAT, 1, tensor_content=bytes(LIMIT)))

        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than max" in message

    def test_calls_that_send_nothing_stop_no_others(self, server: Running) -> None:
        silent = server.channel.stream_unary(PREDICT)
        ended = False

        def nothing() -> Iterator[bytes]:
            while not ended:
                time.sleep(0.05)
            yield from ()

        calls = [silent.future(nothing()) for _ in range(200)]
        try:
            time.sleep(0.5)
            assert [server.half_plus(float(x))[0] for x in range(20)] == [x / 2 + 3 for x in range(20)]
            assert not any(call.done() and call.code() is grpc.StatusCode.UNAVAILABLE for call in calls)
            wait_until(lambda: sum(call.done() for call in calls) >= 100)
        finally:
            ended = True
            for call in calls:
                call.cancel()

    def test_a_connection_that_never_speaks_ends(self, server: Running) -> None:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)) as connection:
            while connection.recv(65536):
                pass


class TestRest:
    def post(self, server: Running, path: str, content: Any, **headers: str) -> tuple[int, str]:
        response = server.http.post(f"/v1/models/{path}", content=content, headers=headers)
        return response.status_code, response.json()["error"]

    @pytest.mark.parametrize("size", [LIMIT + 1, 100 * 2**20])
    def test_a_bomb(self, server: Running, size: int) -> None:
        bomb = gzip.compress(b'{"instances": [' + b" " * size + b"1.0]}")

        status, message = self.post(server, "half:predict", bomb, **{"Content-Encoding": "gzip"})

        assert status == 413
        assert message == f"The request has more than {LIMIT} bytes, also uncompressed (--max_request_bytes)"

    def test_a_body_without_an_end(self, server: Running) -> None:
        with closing(socket.create_connection(("127.0.0.1", server.rest_port), timeout=TIMEOUT)) as connection:
            connection.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                send_chunks(connection, 600)

    def test_a_length_that_is_too_large(self, server: Running) -> None:
        assert self.post(server, "half:predict", bytes(LIMIT + 1))[0] == 413

    @pytest.mark.parametrize(
        "values", [b"[]," * 5_000_000 + b"[]", b"{}," * 5_000_000 + b"{}", b"1," * 8_000_000 + b"1"], ids=["[]", "{}", "1"]
    )
    def test_more_values_than_memory(self, server: Running, values: bytes) -> None:
        status, message = self.post(server, "half:predict", b'{"instances": [%s]}' % values)

        assert status == 400
        assert "values" in message

    @pytest.mark.parametrize(
        ("path", "body", "message"),
        [
            ("half:predict", b'{"instances": %s1.0%s}' % (b"[" * 64, b"]" * 64), "at most 32 dimensions"),
            ("half:predict", b'{"instances": %s1.0%s}' % (b"[" * 990, b"]" * 990), ""),
            ("half:predict", b'{"instances": %s' % (b"[" * 100_000), "nested too deeply"),
            ("half:predict", b'{"instances": %s}' % (b'{"a":' * 100_000), "nested too deeply"),
            (f"half/versions/{'9' * 5000}:predict", b'{"instances": [1.0]}', "to numeric"),
            ("half/versions/9223372036854775808:predict", b'{"instances": [1.0]}', "to numeric"),
            ("half:predict", b'{"signature_name": "\xff", "instances": [1.0]}', "not valid UTF-8"),
            ("half:predict", rb'{"signature_name": "\ud800", "instances": [1.0]}', "surrogate pair"),
            ("half:predict", rb'{"instances": ["\ud800"]}', "not of expected type"),
            ("half:predict", b'{"instances": [%s]}' % (b"9" * 5000), "Number too big"),
            ("half:predict", b'{"instances": [1%s]}' % (b"0" * 400), "Number too big"),
            ("half:predict", b'{"instances": [Inf "%s' % (rb"\"" * 1_000_000), "JSON Parse error"),
            ("module:classify", b'{"signature_name": "label", "examples": [{"\xff": 1}]}', "not valid UTF-8"),
            ("module:classify", b'{"signature_name": "label", "examples": [{"a": 1%s}]}' % (b"0" * 400), "Number too big"),
            (
                "module:predict",
                b'{"signature_name": "label", "instances": [{"b64": "%s"}]}' % base64.b64encode(b"\xff\xfe\xfd"),
                "Could not parse example input",
            ),
        ],
    )
    def test_what_is_wrong_is_told(self, server: Running, path: str, body: bytes, message: str) -> None:
        status, error = self.post(server, path, body)

        assert status == 400, error
        assert message in error

    def test_model_names_do_not_pile_up(self, server: Running) -> None:
        for number in range(50):
            assert server.post(f"absent{number}:predict", {"instances": [1.0]}).status_code == 404
            assert server.get("%ff").status_code == 404


def test_it_bears_random_attacks(server: Running, attacked: tuple[Running, Watched]) -> None:
    chance = random.Random(SEED)
    attackers = [
        HttpAttacker(server.rest_port, "/v1/models/half:predict", {"instances": [1.0, 2.0]}, chance),
        GrpcAttacker(server.port, "half", chance),
    ]
    done = attack(attackers, attacked[1], 4.0, chance)
    for attacker in attackers:
        attacker.close()

    assert done.total() >= 10
