"""Every call of gRPC, with tensorflow-serving-api's own stubs."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.fakes.waiting import wait_until
from tests.integration.serving.modelserver.running import TIMEOUT, Running, model_spec, serving

TYPES = {
    "float32": [[0.5, -1.5]],
    "float64": [[0.1, 1e300]],
    "int8": [[-128, 127]],
    "int16": [[-32768, 32767]],
    "int32": [[-(2**31), 2**31 - 1]],
    "int64": [[-(2**63), 2**63 - 1]],
    "uint8": [[0, 255]],
    "uint32": [[0, 2**32 - 1]],
    "uint64": [[0, 2**64 - 1]],
    "bool": [[True, False]],
    "string": [["text", b"\xff\x00"]],
}


def predict(server: Running, spec, /, **inputs) -> predict_pb2.PredictResponse:
    request = predict_pb2.PredictRequest(model_spec=spec)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value))
    return server.predictions.Predict(request, timeout=TIMEOUT)


def examples(**features) -> input_pb2.Input:
    """An Input of one example a value."""
    given = input_pb2.Input()
    for values in zip(*features.values(), strict=True):
        example = given.example_list.examples.add()
        for name, value in zip(features, values, strict=True):
            feature = example.features.feature[name]
            (feature.bytes_list if isinstance(value, bytes) else feature.float_list).value.append(value)
    return given


def failure(call, *arguments, **named) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as failed:
        call(*arguments, **named)
    return failed.value.code(), failed.value.details()


def test_predict_with_a_model_of_tensorflow_1(server: Running) -> None:
    response = predict(server, model_spec("half"), x=np.array([1.0, 2.0, 5.0], np.float32))

    assert list(response.outputs["y"].float_val) == [3.5, 4.0, 5.5]
    assert (response.model_spec.name, response.model_spec.version.value) == ("half", 2)
    assert response.model_spec.signature_name == "serving_default"


def test_predict_with_a_model_of_keras_3(server: Running) -> None:
    response = predict(server, model_spec("keras"), numbers=np.array([[1, 2, 3], [4, 5, 6]], np.float32))

    (output,) = response.outputs.values()
    assert tf.make_ndarray(output).tolist() == [[7.0], [16.0]]


def test_predict_with_a_tf_module_of_several_inputs_and_outputs(server: Running) -> None:
    response = predict(server, model_spec("module"), text=["a", "b"], count=np.array([1, 2]))

    assert {name: tf.make_ndarray(output).tolist() for name, output in response.outputs.items()} == {
        "joined": [b"a-1", b"b-2"],
        "joined_bytes": [b"a-1", b"b-2"],
        "next": [2, 3],
    }


@pytest.mark.parametrize("as_content", [True, False])
def test_every_type_comes_back_as_it_went(server: Running, as_content: bool) -> None:
    arrays = {name: np.array(value, object if name == "string" else name) for name, value in TYPES.items()}
    protos = {name: tf.make_tensor_proto(array, name) for name, array in arrays.items()}
    if not as_content:
        for name, proto in protos.items():
            if name != "string":
                proto.tensor_content = b""
                field = {"float32": "float", "float64": "double", "bool": "bool", "int64": "int64"}.get(
                    name, name if name in ("uint32", "uint64") else "int"
                )
                proto.ClearField(f"{field}_val")
                getattr(proto, f"{field}_val").extend(arrays[name].ravel().tolist())

    response = predict(server, model_spec("module", signature="types"), **protos)

    for name, array in arrays.items():
        expected = [[b"text", b"\xff\x00"]] if name == "string" else array.tolist()
        assert tf.make_ndarray(response.outputs[name]).tolist() == expected, name
        assert not response.outputs[name].tensor_content


def test_an_output_filter_leaves_the_others_out(server: Running) -> None:
    request = predict_pb2.PredictRequest(model_spec=model_spec("module"), output_filter=["next"])
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["a"]))
    request.inputs["count"].CopyFrom(tf.make_tensor_proto([1], tf.int64))

    assert list(server.predictions.Predict(request, timeout=TIMEOUT).outputs) == ["next"]


@pytest.mark.parametrize(
    ("choice", "offset"), [({"version": 1}, 2.0), ({"version": 2}, 3.0), ({"label": "stable"}, 2.0), ({"label": "canary"}, 3.0)]
)
def test_versions_by_number_and_by_label(server: Running, choice: dict, offset: float) -> None:
    value, version = server.half_plus(0.0, **choice)

    assert (value, version) == (offset, int(offset) - 1)


def test_classify(server: Running) -> None:
    request = classification_pb2.ClassificationRequest(
        model_spec=model_spec("module", signature="label"), input=examples(name=[b"Ann", b"Bob"])
    )

    response = server.predictions.Classify(request, timeout=TIMEOUT)

    assert [[(each.label, each.score) for each in row.classes] for row in response.result.classifications] == [
        [("Ann", 0.75), ("other", 0.25)],
        [("Bob", 0.75), ("other", 0.25)],
    ]
    assert response.model_spec.version.value == 1


def test_regress(server: Running) -> None:
    request = regression_pb2.RegressionRequest(
        model_spec=model_spec("half", version=1, signature="regress_x_to_y"), input=examples(x=[1.0, 2.0])
    )

    response = server.predictions.Regress(request, timeout=TIMEOUT)

    assert [each.value for each in response.result.regressions] == [2.5, 3.0]


def test_the_context_of_examples_is_merged_into_each(server: Running) -> None:
    request = regression_pb2.RegressionRequest(model_spec=model_spec("half", version=1, signature="regress_x_to_y"))
    with_context = request.input.example_list_with_context
    with_context.context.features.feature["x"].float_list.value.append(4.0)
    with_context.examples.add()

    assert server.predictions.Regress(request, timeout=TIMEOUT).result.regressions[0].value == 4.0


def test_multi_inference(server: Running) -> None:
    request = inference_pb2.MultiInferenceRequest(input=examples(x=[2.0]))
    for signature, method in (("classify_x_to_y", "classify"), ("regress_x_to_y", "regress")):
        spec = model_spec("half", version=1, signature=signature)
        request.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")

    classified, regressed = server.predictions.MultiInference(request, timeout=TIMEOUT).results

    assert classified.classification_result.classifications[0].classes[0].score == 3.0
    assert regressed.regression_result.regressions[0].value == 3.0
    assert regressed.model_spec.signature_name == "regress_x_to_y"


def test_metadata(server: Running) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=model_spec("half", label="stable"), metadata_field=["signature_def"]
    )

    response = server.predictions.GetModelMetadata(request, timeout=TIMEOUT)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "classify_x_to_y", "regress_x_to_y"}
    assert response.model_spec.version.value == 1


def test_status_of_all_versions_and_of_one(server: Running) -> None:
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE

    every = server.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec("half")))
    one = server.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec("half", version=1)))

    assert [(each.version, each.state) for each in every.model_version_status] == [(1, available), (2, available)]
    assert [each.version for each in one.model_version_status] == [1]
    assert one.model_version_status[0].status.error_code == 0


@pytest.mark.parametrize(
    ("spec", "inputs", "code", "message"),
    [
        (model_spec("absent"), {}, "NOT_FOUND", "Servable not found for request: Latest(absent)"),
        (model_spec("half", version=9), {}, "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
        (model_spec("half", label="x"), {}, "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (model_spec(""), {}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (model_spec("half", signature="x"), {}, "FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
        (model_spec("module"), {"text": ["a"]}, "INVALID_ARGUMENT", "input size does not match signature: 1!=2"),
        (model_spec("half"), {"z": [1.0]}, "INVALID_ARGUMENT", "input tensor alias not found in signature: z"),
        (model_spec("half"), {"x": ["one"]}, "INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
        (model_spec("keras"), {"numbers": [[1.0, 2.0]]}, "INVALID_ARGUMENT", ""),
        (model_spec("module", signature="fail"), {"x": [-1.0]}, "INVALID_ARGUMENT", "no negative numbers, please"),
    ],
)
def test_what_is_wrong_is_told(server: Running, spec, inputs: dict, code: str, message: str) -> None:
    seen, details = failure(predict, server, spec, **inputs)

    assert seen.name == code
    assert message in details


def test_a_request_without_a_model_is_refused(server: Running) -> None:
    assert failure(server.predictions.Predict, predict_pb2.PredictRequest()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )


def test_a_tensor_that_does_not_hold_together_is_refused(server: Running) -> None:
    proto = tf.make_tensor_proto(np.zeros(4, np.float32))
    proto.tensor_shape.dim[0].size = 5

    code, details = failure(predict, server, model_spec("half"), x=proto)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "tensor parsing error: x" in details


def test_classify_without_examples_or_with_a_signature_of_another_kind(server: Running) -> None:
    empty = classification_pb2.ClassificationRequest(model_spec=model_spec("module", signature="label"))
    other = classification_pb2.ClassificationRequest(model_spec=model_spec("half"), input=examples(x=[1.0]))

    assert failure(server.predictions.Classify, empty) == (grpc.StatusCode.INVALID_ARGUMENT, "Input is empty.")
    assert failure(server.predictions.Classify, other)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_deadline_that_passes_during_a_run_leaves_the_server_well(slow: Path) -> None:
    with serving(model_name="half", model_base_path=str(slow)) as server:
        request = predict_pb2.PredictRequest(model_spec=model_spec("half"))
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))

        assert failure(server.predictions.Predict, request, timeout=0.2)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        assert server.half_plus(0.0) == (2.0, 1)


def test_a_message_of_many_megabytes(server: Running) -> None:
    array = np.arange(4_000_000, dtype=np.float32)

    response = predict(server, model_spec("half", version=1), x=array)

    assert np.array_equal(tf.make_ndarray(response.outputs["y"]), array / 2 + 2)


def test_health(server: Running) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)

    for name in ("", "ModelService", "PredictionService", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services_and_their_calls(server: Running) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
    ]

    listed, described = stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT)

    names = {service.name for service in listed.list_services_response.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"} <= names
    assert b"MultiInference" in described.file_descriptor_response.file_descriptor_proto[0]


def test_a_reload_adds_and_removes_models(folder, tmp_path) -> None:
    with serving(model_name="half", model_base_path=str(folder / "half")) as server:
        request = model_management_pb2.ReloadConfigRequest(metric_names=[":tensorflow:cc:saved_model:load_attempt_count"])
        added = request.config.model_config_list.config.add(
            name="keras", base_path=str(folder / "keras"), model_platform="tensorflow"
        )

        response = server.models.HandleReloadConfigRequest(request, timeout=TIMEOUT)

        assert response.status.error_code == 0
        assert response.metric[0].int64_value_increase == 1
        assert server.states("keras") == {1: "AVAILABLE"}
        wait_until(lambda: server.states("half") == {2: "END"})
        added.base_path = "relative/path"
        code, details = failure(server.models.HandleReloadConfigRequest, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "absolute path" in details
        assert server.states("keras") == {1: "AVAILABLE"}


def test_a_reload_of_what_is_no_list_of_models_is_refused(server: Running) -> None:
    code, details = failure(server.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "not supported by HandleReloadConfigRequest" in details


def test_answers_as_raw_bytes_if_a_flag_says_so(folder) -> None:
    with serving(
        model_name="half", model_base_path=str(folder / "half"), enable_serialization_as_tensor_content=True
    ) as server:
        output = predict(server, model_spec("half"), x=[1.0]).outputs["y"]

    assert output.tensor_content
    assert tf.make_ndarray(output).tolist() == [3.5]
