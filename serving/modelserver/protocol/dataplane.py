"""The calls behind both interfaces: on the right version, within the deadline, counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import tracing
from serving.modelserver import metrics
from serving.modelserver.inference.classify import classify, multi_inference, regress
from serving.modelserver.inference.predict import check_metadata_request, model_metadata, predict
from serving.modelserver.inference.servable import Servable
from serving.modelserver.models.core import ServerCore
from serving.modelserver.status import from_exception, invalid_argument

_T = TypeVar("_T")


class DataPlane:
    """The calls of PredictionService, and GetModelStatus.

    Args:
      core: holds the loaded models.
    """

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self._check_method = core.flags.enable_signature_method_name_check
        self._predict_options: dict[str, Any] = {
            "check_method": self._check_method,
            "as_content": core.flags.enable_serialization_as_tensor_content,
            "max_repeated_bytes": core.flags.max_request_bytes,
        }

    def predict(self, request: predict_pb2.PredictRequest, deadline: float | None = None) -> predict_pb2.PredictResponse:
        """Answers Predict."""
        return self._answer(request, lambda servable: predict(servable, request, deadline, **self._predict_options))

    def classify(
        self, request: classification_pb2.ClassificationRequest, deadline: float | None = None
    ) -> classification_pb2.ClassificationResponse:
        """Answers Classify."""
        return self._answer(request, lambda servable: classify(servable, request, deadline, check_method=self._check_method))

    def regress(
        self, request: regression_pb2.RegressionRequest, deadline: float | None = None
    ) -> regression_pb2.RegressionResponse:
        """Answers Regress."""
        return self._answer(request, lambda servable: regress(servable, request, deadline, check_method=self._check_method))

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, deadline: float | None = None
    ) -> inference_pb2.MultiInferenceResponse:
        """Answers MultiInference; the first task says which model and version are asked."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self.core.use(spec) as servable:
            return multi_inference(servable, request, deadline, check_method=self._check_method)

    def model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, deadline: float | None = None
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata."""
        check_metadata_request(request)
        return self._answer(request, lambda servable: model_metadata(servable, request))

    def model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest, deadline: float | None = None
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answers GetModelStatus."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        return self.core.status(request.model_spec)

    @contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request and its outcome, and turns every exception into a StatusError.

        Args:
          model: the model's name, as the request has it. Those of models that are not served are counted under no name: every
            name takes memory for as long as the server runs.
          api: the call, such as Predict.
          entrypoint: GRPC or REST.

        Raises:
          StatusError: the call failed.
        """
        started, status = time.monotonic(), "OK"
        try:
            yield
        except Exception as error:
            failure = from_exception(error)
            status = failure.name
            raise failure from error
        finally:
            name = model if self.core.is_served(model) else ""
            metrics.record_request(name, api, entrypoint, time.monotonic() - started, status)

    def _answer(self, request: Any, answer: Callable[[Servable], _T]) -> _T:
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        with self.core.use(request.model_spec) as servable, tracing.inner_span("run model", {"model": request.model_spec.name}):
            return answer(servable)
