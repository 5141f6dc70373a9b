"""Predict and GetModelMetadata on a loaded version."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, predict_pb2

from serving.modelserver import metrics
from serving.modelserver.inference import tensors
from serving.modelserver.inference.servable import Servable
from serving.modelserver.status import StatusError, failed_precondition, invalid_argument

DEFAULT_SIGNATURE = "serving_default"
METHOD_NAMES = {
    "predict": "tensorflow/serving/predict",
    "classify": "tensorflow/serving/classify",
    "regress": "tensorflow/serving/regress",
}
SIGNATURE_DEF = "signature_def"


def predict(
    servable: Servable,
    request: predict_pb2.PredictRequest,
    deadline: float | None = None,
    *,
    check_method: bool = False,
    as_content: bool = False,
    max_repeated_bytes: int | None = None,
) -> predict_pb2.PredictResponse:
    """Answers a Predict call.

    Args:
      servable: the version to ask.
      request: inputs by name, the signature and optionally which outputs to answer.
      deadline: the time to give up, on the clock of time.monotonic().
      check_method: refuse signatures that are not made for serving (--enable_signature_method_name_check).
      as_content: answer raw bytes (--enable_serialization_as_tensor_content).
      max_repeated_bytes: the most bytes that the tensors together may repeat of their last values; any number when not given.

    Raises:
      StatusError: the request does not fit the signature, or the model could not be run.
    """
    signature = _signature(servable, request.model_spec, check_method)
    _check_names_and_types(signature, {alias: proto.dtype for alias, proto in request.inputs.items()})
    inputs = _arrays(signature, request.inputs, max_repeated_bytes)
    outputs = run(servable, request.model_spec, inputs, request.output_filter, deadline, check_method=check_method)
    spec = answering_spec(servable, request.model_spec.name, request.model_spec.signature_name)
    response = predict_pb2.PredictResponse(model_spec=spec)
    for alias, array in outputs.items():
        response.outputs[alias].CopyFrom(tensors.to_proto(array, as_content=as_content))
    return response


def run(
    servable: Servable,
    spec: model_pb2.ModelSpec,
    inputs: Mapping[str, np.ndarray],
    output_filter: Sequence[str] = (),
    deadline: float | None = None,
    *,
    check_method: bool = False,
) -> dict[str, np.ndarray]:
    """Runs a signature; arguments and errors are those of `predict`, with arrays instead of their messages.

    Returns:
      Arrays by the name of the output.
    """
    signature = _signature(servable, spec, check_method)
    feeds = _feeds(signature, inputs)
    outputs = {alias: signature.outputs[alias].name for alias in _outputs(signature, output_filter)}
    started = time.monotonic()
    arrays = servable.run(feeds, list(outputs.values()), deadline)
    metrics.record_run(spec.name, "Predict", time.monotonic() - started)
    return dict(zip(outputs, arrays, strict=True))


def answering_spec(servable: Servable, name: str, signature: str) -> model_pb2.ModelSpec:
    """The model, the version and the signature that answered."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature or DEFAULT_SIGNATURE)
    spec.version.value = servable.version
    return spec


def model_metadata(
    servable: Servable, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answers a GetModelMetadata call: the signatures, the only metadata there are."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def check_metadata_request(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Refuses a GetModelMetadata call that asks for nothing, or for an unknown field.

    Raises:
      StatusError: the call is wrong.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")


def _signature(servable: Servable, spec: model_pb2.ModelSpec, check_method: bool) -> meta_graph_pb2.SignatureDef:
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise failed_precondition(f'Serving signature key "{name}" not found.')
    signature = servable.signatures[name]
    if check_method and signature.method_name not in METHOD_NAMES.values():
        known = ", ".join(METHOD_NAMES.values())
        message = f"Expected prediction signature method_name to be one of {{{known}}}. Was: {signature.method_name}"
        raise StatusError(error_codes_pb2.INTERNAL, message)
    return signature


def _arrays(
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, tensor_pb2.TensorProto], max_repeated_bytes: int | None
) -> dict[str, np.ndarray]:
    """The arrays that tensors hold. A few bytes may ask for a huge one: shapes are looked at before it is made."""
    repeated = 0
    for alias, proto in inputs.items():
        more = tensors.repeated_bytes(alias, proto, signature.inputs[alias].tensor_shape)
        repeated += more
        if max_repeated_bytes is not None and repeated > max_repeated_bytes:
            raise invalid_argument(
                f"tensor parsing error: {alias}: its shape asks for {more} bytes that it does not have. Values may be repeated "
                f"up to {max_repeated_bytes} bytes (--max_request_bytes)"
            )
    return {alias: tensors.to_array(alias, proto) for alias, proto in inputs.items()}


def _check_names_and_types(signature: meta_graph_pb2.SignatureDef, dtypes: Mapping[str, int]) -> None:
    """Refuses inputs by other names or of other types than the signature's."""
    sent, wanted = set(dtypes), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({_set(sent)}) != len({_set(wanted)}). "
            f"Sent extra: {_set(sent - wanted)}. Missing but required: {_set(wanted - sent)}."
        )
    for position, (alias, dtype) in enumerate(dtypes.items()):
        if alias not in wanted:
            raise invalid_argument(
                f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set {_set(wanted)}."
            )
        expected = signature.inputs[alias].dtype
        if dtype != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {tensors.type_name(expected)} but {tensors.type_name(dtype)} is provided: "
                f"input {alias}"
            )


def _feeds(signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by the name of their tensor: those that were sent, and the signature's own defaults for the rest."""
    _check_names_and_types(signature, {alias: tensors.data_type(array) for alias, array in inputs.items()})
    feeds = {signature.inputs[alias].name: array for alias, array in inputs.items()}
    for alias in set(signature.inputs) - set(inputs):
        if alias not in signature.defaults:
            raise invalid_argument(f"Signature has no default for the input {alias}, which is missing.")
        feeds[signature.inputs[alias].name] = tensors.to_array(alias, signature.defaults[alias])
    return feeds


def _outputs(signature: meta_graph_pb2.SignatureDef, wanted: Sequence[str]) -> Sequence[str]:
    for position, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(set(signature.outputs))}."
            )
        if alias in wanted[:position]:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
    return wanted or sorted(signature.outputs)


def _set(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
