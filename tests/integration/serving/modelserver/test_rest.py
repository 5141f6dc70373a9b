"""Every path of REST, as curl would ask it, against what TensorFlow Serving's documentation shows."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.serving.modelserver.running import Running, serving

EXAMPLES = [{"x": 1.0}, {"x": [2.0]}]


def test_predict_by_row(server: Running) -> None:
    answer = server.post("half/versions/1:predict", {"instances": [1.0, 2.0, 5.0]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.text == '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'


def test_predict_by_column(server: Running) -> None:
    answer = server.post("half/versions/1:predict", {"inputs": [[1.0], [2.0]]})

    assert answer.json() == {"outputs": [[2.5], [3.0]]}


def test_predict_with_several_inputs_and_outputs(server: Running) -> None:
    rows = server.post("module:predict", {"instances": [{"text": "a", "count": 1}, {"text": {"b64": "Yg=="}, "count": 2}]})
    columns = server.post("module:predict", {"inputs": {"text": ["a", "b"], "count": [1, 2]}})

    assert rows.json()["predictions"] == [
        {"joined": "a-1", "joined_bytes": {"b64": "YS0x"}, "next": 2},
        {"joined": "b-2", "joined_bytes": {"b64": "Yi0y"}, "next": 3},
    ]
    assert columns.json()["outputs"]["next"] == [2, 3]


def test_predict_with_a_model_of_keras_3(server: Running) -> None:
    assert server.post("keras:predict", {"instances": [[1, 2, 3], [4, 5, 6]]}).json() == {"predictions": [[7.0], [16.0]]}


def test_nan_and_infinity_go_in_and_come_out(server: Running) -> None:
    answer = server.post("half/versions/1:predict", b'{"instances": [NaN, Infinity, -Infinity, -Inf]}')

    assert answer.text == '{\n    "predictions": [NaN, Infinity, -Infinity, -Infinity\n    ]\n}'


@pytest.mark.parametrize(
    ("path", "offset"),
    [("half", 3), ("half/versions/1", 2), ("half/versions/2", 3), ("half/labels/stable", 2), ("half/labels/canary", 3)],
)
def test_versions_and_labels_in_the_path(server: Running, path: str, offset: int) -> None:
    assert server.post(f"{path}:predict", {"instances": [0.0]}).json() == {"predictions": [offset]}
    regressed = server.post(f"{path}:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 0.0}]})
    assert regressed.json() == {"results": [offset]}


def test_paths_are_the_same_in_capitals_and_decoded(server: Running) -> None:
    assert server.http.post("/V1/Models/half/Versions/1:predict", json={"instances": [0.0]}).json() == {"predictions": [2.0]}
    assert server.http.post("/v1/models/h%61lf/labels/st%61ble:predict", json={"instances": [0.0]}).status_code == 200


def test_a_signature_by_name(server: Running) -> None:
    answer = server.post("module:predict", {"signature_name": "scalar", "inputs": 2.0})

    assert answer.json() == {"outputs": 4.0}


def test_classify(server: Running) -> None:
    answer = server.post("module:classify", {"signature_name": "label", "examples": [{"name": "Ann"}, {}]})

    assert answer.text == ('{\n    "results": [[["Ann", 0.75], ["other", 0.25]], [["nobody", 0.75], ["other", 0.25]]\n    ]\n}')


def test_classify_without_labels(server: Running) -> None:
    answer = server.post("half/versions/1:classify", {"signature_name": "classify_x_to_y", "examples": EXAMPLES})

    assert answer.json() == {"results": [[["", 2.5]], [["", 3.0]]]}


def test_regress_with_a_context(server: Running) -> None:
    body = {"signature_name": "regress_x_to_y", "context": {"x": 4.0}, "examples": [{}, {"x": 2.0}]}

    assert server.post("half/versions/1:regress", body).json() == {"results": [4.0, 3.0]}


def test_status(server: Running) -> None:
    every, one = server.get("half").json(), server.get("half/versions/1").json()

    assert one == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    }
    assert [each["version"] for each in every["model_version_status"]] == ["1", "2"]


@pytest.mark.parametrize("path", ["half/versions/1/metadata", "half/labels/stable/metadata"])
def test_metadata(server: Running, path: str) -> None:
    metadata = server.get(path).json()

    assert metadata["model_spec"] == {"name": "half", "version": "1", "signature_name": ""}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": "x:0",
        "tensor_shape": {"dim": [], "unknown_rank": True},
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("GET", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("POST", "/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("POST", "/v1/models/half:PREDICT", 400, "Malformed request: POST /v1/models/half:PREDICT"),
        ("POST", "/v1/models/half/version/1:predict", 400, "Malformed request: POST /v1/models/half/version/1:predict"),
        ("PUT", "/v1/models/half", 400, "Malformed request: PUT /v1/models/half"),
        ("GET", "/v1/models/absent", 404, "Could not find any versions of model absent"),
        ("GET", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("GET", "/v1/models/absent/metadata", 404, "Servable not found for request: Latest(absent)"),
        (
            "GET",
            "/v1/models/half/versions/99999999999999999999",
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
    ],
)
def test_paths_that_are_wrong(server: Running, method: str, path: str, status: int, message: str) -> None:
    answer = server.http.request(method, path)

    assert (answer.status_code, answer.json()) == (status, {"error": message})


def test_paths_that_are_not_of_the_interface(server: Running) -> None:
    for path in ("/", "/v2/models/half"):
        answer = server.http.get(path)
        assert answer.status_code == 404
        assert "404 Not Found" in answer.text


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("half:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("half:predict", b"instances = [1, 2]", 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("half:predict", b'{"instances": ["x"]}', 400, "not of expected type: float"),
        ("half:predict", b'{"inputs": {"y": 1}}', 400, "Missing named input: x in 'inputs' object."),
        ("half:predict", b"[" * 100_000, 400, "JSON Parse error"),
        ("half:predict", b"\xff\xfe\x00", 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("absent:predict", b'{"instances": [1]}', 404, "Servable not found for request: Latest(absent)"),
        ("half/versions/9:predict", b'{"instances": [1]}', 404, "Servable not found for request: Specific(half, 9)"),
        ("half/labels/x:predict", b'{"instances": [1]}', 400, "Unrecognized servable version label: x"),
        ("half:predict", b'{"signature_name": "x", "instances": [1]}', 400, 'Serving signature name: "x" not found'),
        ("module:predict", b'{"signature_name": "fail", "instances": [-1]}', 400, "no negative numbers, please"),
        ("keras:predict", b'{"instances": [[1, 2]]}', 400, ""),
        ("module:classify", b'{"signature_name": "label"}', 400, "key 'examples' is expected and was not found"),
        ("half:classify", b'{"examples": [{"x": 1.0}]}', 400, ""),
    ],
)
def test_bodies_that_are_wrong(server: Running, path: str, body: bytes, status: int, message: str) -> None:
    answer = server.post(path, body)

    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert server.post("half:predict", {"instances": [0.0]}).status_code == 200


def test_a_huge_body(server: Running) -> None:
    count = 500_000

    answer = server.http.post("/v1/models/half/versions/1:predict", json={"instances": list(range(count))}, timeout=60)

    assert answer.json()["predictions"][-1] == (count - 1) / 2 + 2


def test_a_compressed_body(server: Running) -> None:
    body = gzip.compress(b'{"instances": [1.0]}')
    headers = {"Content-Encoding": "gzip"}

    good = server.http.post("/v1/models/half/versions/1:predict", content=body, headers=headers)
    broken = server.http.post("/v1/models/half/versions/1:predict", content=body[:-9], headers=headers)

    assert good.json() == {"predictions": [2.5]}
    assert broken.json() == {"error": "JSON Parse error: The document is empty"}


def test_cors(server: Running) -> None:
    preflight = server.http.options("/v1/models/half:predict", headers={"Origin": "https://example.com"})
    without_origin = server.http.options("/v1/models/half:predict")

    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST, GET"
    assert server.get("half").headers["Access-Control-Allow-Origin"] == "*"
    assert without_origin.status_code == 400


def test_metrics(server: Running) -> None:
    server.post("half:predict", {"instances": [1.0]})
    server.post("half:predict", b"")

    page = server.http.get("/monitoring/prometheus/metrics")

    assert page.headers["Content-Type"].startswith("text/plain")
    assert "# TYPE :tensorflow:serving:request_count counter" in page.text
    for line in (
        ':tensorflow:serving:request_count{model_name="half",status="OK"}',
        ':tensorflow:serving:request_count{model_name="half",status="INVALID_ARGUMENT"}',
        ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="half"}',
        ':tensorflow:serving:runtime_latency_count{API="Predict",model_name="half",runtime="TF1"}',
    ):
        assert line in page.text


def test_metrics_are_shown_where_the_configuration_says(folder: Path, tmp_path: Path) -> None:
    elsewhere, off = tmp_path / "elsewhere.config", tmp_path / "off.config"
    elsewhere.write_text('prometheus_config { enable: true path: "/metrics" }')
    off.write_text("prometheus_config { enable: false }")

    for file, answers in ((elsewhere, {"/metrics": 200, "/monitoring/prometheus/metrics": 404}), (off, {"/metrics": 404})):
        with serving(model_name="keras", model_base_path=str(folder / "keras"), monitoring_config_file=str(file)) as server:
            assert {path: server.http.get(path).status_code for path in answers} == answers


def test_curl_and_grpc_agree(server: Running) -> None:
    line = ["curl", "-sS", "-d", '{"instances": [7.0]}', f"localhost:{server.rest_port}/v1/models/half:predict"]

    printed = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20).stdout

    assert json.loads(printed)["predictions"] == [server.half_plus(7.0)[0]]


def test_every_float_of_an_answer_is_that_of_grpc(server: Running) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(500).astype(np.float32)

    rest = server.post("half:predict", {"instances": [float(number) for number in numbers]}).json()["predictions"]

    assert np.array_equal(np.array(rest, np.float32), numbers / 2 + 3)


def test_a_connection_is_kept_and_requests_may_follow_at_once(server: Running) -> None:
    body = b'{"instances": [1.0]}'
    request = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        connection.sendall(request * 3)
        received = b""
        while received.count(b'"predictions"') < 3:
            received += connection.recv(65536)

    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_what_is_no_http_gets_an_answer_and_harms_nobody(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert b"400" in connection.recv(65536)

    assert server.post("half:predict", {"instances": [0.0]}).status_code == 200


def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: Running) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
            connection.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")

    assert server.post("half:predict", {"instances": [0.0]}).status_code == 200


def test_a_slow_run_ends_at_the_deadline_of_rest(slow: Path) -> None:
    with serving(model_name="half", model_base_path=str(slow), rest_api_timeout_in_ms=100) as server:
        answer = server.post("half:predict", {"instances": [0.0]})

    assert answer.status_code == 504
    assert "error" in answer.json()


def test_without_a_port_there_is_no_rest(folder: Path) -> None:
    with serving(model_name="keras", model_base_path=str(folder / "keras"), rest_api_port=0) as server:
        with pytest.raises(httpx.ConnectError):
            server.get("keras")
        assert server.states("keras") == {1: "AVAILABLE"}
