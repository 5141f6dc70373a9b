"""Classify, Regress and MultiInference on a loaded version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, model_pb2, regression_pb2

from serving.modelserver import metrics
from serving.modelserver.inference.predict import DEFAULT_SIGNATURE, METHOD_NAMES, answering_spec
from serving.modelserver.inference.servable import Servable
from serving.modelserver.status import invalid_argument, unimplemented

_INPUTS, _CLASSES, _SCORES, _REGRESSIONS = "inputs", "classes", "scores", "outputs"

_Signature: TypeAlias = meta_graph_pb2.SignatureDef
_Arrays = dict[str, np.ndarray]


def classify(
    servable: Servable,
    request: classification_pb2.ClassificationRequest,
    deadline: float | None = None,
    *,
    check_method: bool = False,
) -> classification_pb2.ClassificationResponse:
    """Answers a Classify call.

    Args:
      servable: the version to ask.
      request: tf.Examples and the signature.
      deadline: the time to give up, on the clock of time.monotonic().
      check_method: refuse signatures that are not made for Classify (--enable_signature_method_name_check).

    Raises:
      StatusError: the signature is of another kind, or the model could not be run.
    """
    spec, result = _infer(_CLASSIFY, servable, request, deadline, check_method)
    return classification_pb2.ClassificationResponse(model_spec=spec, result=result)


def regress(
    servable: Servable,
    request: regression_pb2.RegressionRequest,
    deadline: float | None = None,
    *,
    check_method: bool = False,
) -> regression_pb2.RegressionResponse:
    """Answers a Regress call; arguments and errors are those of `classify`."""
    spec, result = _infer(_REGRESS, servable, request, deadline, check_method)
    return regression_pb2.RegressionResponse(model_spec=spec, result=result)


def multi_inference(
    servable: Servable,
    request: inference_pb2.MultiInferenceRequest,
    deadline: float | None = None,
    *,
    check_method: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Answers a MultiInference call with one run of the graph; arguments and errors are those of `classify`."""
    tasks = _tasks(servable, request, check_method)
    signatures = [signature for _, _, signature, _ in tasks]
    fetches = {fetch for *_, outputs in tasks for fetch in outputs}
    examples = _examples(request.input)
    model = request.tasks[0].model_spec.name
    arrays = _run(servable, "MultiInference", model, signatures, examples, fetches, deadline)
    response = inference_pb2.MultiInferenceResponse()
    for task, method, signature, _ in tasks:
        result = response.results.add(model_spec=answering_spec(servable, model, task.model_spec.signature_name))
        getattr(result, method.field).CopyFrom(method.result(signature, arrays, len(examples)))
    return response


@dataclass(frozen=True)
class _Method:
    """One of the two ways to read a signature.

    Attributes:
      api: the name of the call.
      kind: TensorFlow Serving's word for it in messages.
      name: the method name of signatures that are made for it.
      field: the field of its result in an InferenceResult.
      outputs: the names of the tensors to answer, by a signature whose input is right.
      result: the answer to a number of examples, by the arrays of these tensors.
    """

    api: str
    kind: str
    name: str
    field: str
    outputs: Callable[[_Signature], list[str]]
    result: Callable[[_Signature, _Arrays, int], Any]

    def fetches(self, signature: _Signature, check_method: bool) -> list[str]:
        """The names of the tensors to answer; raises a StatusError for a signature of another kind."""
        if check_method and signature.method_name != self.name:
            raise invalid_argument(
                f"Expected {self.kind} signature method_name to be {self.name}. Was: {signature.method_name}"
            )
        if len(signature.inputs) != 1:
            raise invalid_argument("Expected one input Tensor.")
        if _INPUTS not in signature.inputs:
            raise invalid_argument(f"No {self.kind} inputs found in SignatureDef: {signature}")
        return self.outputs(signature)


def _infer(
    method: _Method, servable: Servable, request: Any, deadline: float | None, check_method: bool
) -> tuple[model_pb2.ModelSpec, Any]:
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    fetches = method.fetches(signature, check_method)
    examples = _examples(request.input)
    arrays = _run(servable, method.api, request.model_spec.name, [signature], examples, fetches, deadline)
    return answering_spec(servable, request.model_spec.name, name), method.result(signature, arrays, len(examples))


def _tasks(
    servable: Servable, request: inference_pb2.MultiInferenceRequest, check_method: bool
) -> list[tuple[inference_pb2.InferenceTask, _Method, _Signature, list[str]]]:
    methods = {method.name: method for method in (_CLASSIFY, _REGRESS)}
    tasks, names = [], set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        if name not in servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in methods:
            raise unimplemented(f"Unsupported signature method_name: {task.method_name}")
        method, signature = methods[task.method_name], servable.signatures[name]
        tasks.append((task, method, signature, method.fetches(signature, check_method)))
    return tasks


def _classification_outputs(signature: _Signature) -> list[str]:
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    outputs = [signature.outputs[name].name for name in (_CLASSES, _SCORES) if name in signature.outputs]
    if not outputs:
        raise invalid_argument(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )
    return outputs


def _regression_outputs(signature: _Signature) -> list[str]:
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if _REGRESSIONS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return [signature.outputs[_REGRESSIONS].name]


def _examples(given: input_pb2.Input) -> list[bytes]:
    """The tf.Examples, serialised; the context's features are merged into each by writing them before its own."""
    context = b""
    examples = given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        examples = given.example_list_with_context.examples
    if not examples:
        raise invalid_argument("Input is empty.")
    return [context + example.SerializeToString() for example in examples]


def _run(
    servable: Servable,
    api: str,
    model: str,
    signatures: list[_Signature],
    examples: list[bytes],
    fetches: Iterable[str],
    deadline: float | None,
) -> _Arrays:
    """Arrays by the name of their tensor."""
    fed = np.array(examples, object)
    names = sorted(set(fetches))
    started = time.monotonic()
    arrays = servable.run({signature.inputs[_INPUTS].name: fed for signature in signatures}, names, deadline)
    metrics.record_run(model, api, time.monotonic() - started)
    metrics.record_examples(model, len(examples))
    return dict(zip(names, arrays, strict=True))


def _classifications(signature: _Signature, arrays: _Arrays, count: int) -> classification_pb2.ClassificationResult:
    found = {name: arrays[signature.outputs[name].name] for name in (_CLASSES, _SCORES) if name in signature.outputs}
    for name, array in found.items():
        if array.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
        expected = "DT_STRING" if name == _CLASSES else "DT_FLOAT"
        if (array.dtype.kind != "O") if name == _CLASSES else (array.dtype != np.float32):
            raise invalid_argument(f"Expected {name} Tensor of {expected}. Got: {array.dtype.name}")
        if len(array) != count:
            raise invalid_argument(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    widths = {array.shape[1] for array in found.values()}
    if len(widths) > 1:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {found[_CLASSES].shape[1]} vs. {found[_SCORES].shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(count):
        classifications = result.classifications.add()
        for column in range(*widths):
            labelled = classifications.classes.add()
            if _CLASSES in found:
                # A label that is not UTF-8 cannot be sent in a string field.
                labelled.label = found[_CLASSES][row, column].decode(errors="replace")
            if _SCORES in found:
                labelled.score = found[_SCORES][row, column]
    return result


def _regressions(signature: _Signature, arrays: _Arrays, count: int) -> regression_pb2.RegressionResult:
    output = arrays[signature.outputs[_REGRESSIONS].name]
    if output.ndim != 1 and not (output.ndim == 2 and output.shape[1] == 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(output.shape)}"
        )
    if len(output) != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {len(output)}")
    if output.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {output.dtype.name}")
    return regression_pb2.RegressionResult(
        regressions=[regression_pb2.Regression(value=value) for value in output.ravel().tolist()]
    )


_CLASSIFY = _Method(
    "Classify",
    "classification",
    METHOD_NAMES["classify"],
    "classification_result",
    _classification_outputs,
    _classifications,
)
_REGRESS = _Method("Regress", "regression", METHOD_NAMES["regress"], "regression_result", _regression_outputs, _regressions)
