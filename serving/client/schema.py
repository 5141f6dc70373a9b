"""The inputs and outputs of a served model, by its own signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contracts.model import COLUMNS_SIGNATURE, REFERENCE_SIGNATURE, digest_of
from serving.client.features import DTYPES, ModelFeature
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.protocol import SignatureDefMap


@dataclass(frozen=True)
class ModelSchema:
    """The inputs and outputs of one version of a model.

    Attributes:
      version: the version's number.
      features: its inputs by name.
      outputs: TensorFlow's names of its outputs' types, such as DT_FLOAT, by output.
      signature: the name of the signature.
      is_explainable: whether it has reference rows, with which a row can be compared.
      digest: the digest of the model, which tells it from another that has the same number; empty where an earlier release has
        written it.
    """

    version: int
    features: Mapping[str, ModelFeature]
    outputs: Mapping[str, str]
    signature: str = COLUMNS_SIGNATURE
    is_explainable: bool = False
    digest: str = ""


def read_schema(version: int, signatures: SignatureDefMap, model: str) -> ModelSchema:
    """The schema in a model's metadata.

    Args:
      version: the version's number.
      signatures: all signatures that the model has.
      model: the model's name, for messages.

    Raises:
      ServingError: the model does not take raw rows.
    """
    from serving.protocol import types_pb2

    if COLUMNS_SIGNATURE not in signatures.signature_def:
        raise ServingError(
            f"The model {model!r} does not take raw rows.",
            where=f"version {version}",
            expected=f"the signature {COLUMNS_SIGNATURE}, which every model of the pipeline has",
            seen=", ".join(sorted(signatures.signature_def)),
            fix="Ask it with TF Serving's own stubs, or export it by this pipeline.",
        )
    signature = signatures.signature_def[COLUMNS_SIGNATURE]
    features = {}
    for name, info in sorted(signature.inputs.items()):
        dtype = types_pb2.DataType.Name(info.dtype)
        shape = [dimension.size for dimension in info.tensor_shape.dim]
        if dtype not in DTYPES or len(shape) not in (1, 2):
            raise ServingError(
                f"The model {model!r} does not take one value or a list of values a row for each feature.",
                where=f"version {version}, feature {name!r}",
                expected=f"the shape [-1] or [-1, values] and one of {', '.join(sorted(DTYPES))}",
                seen=f"{shape}, {dtype}",
                fix="Ask it with TF Serving's own stubs.",
            )
        is_list = len(shape) == 2
        features[name] = ModelFeature(name, dtype, is_list, shape[1] if is_list and shape[1] > 0 else None)
    outputs = {name: types_pb2.DataType.Name(info.dtype) for name, info in sorted(signature.outputs.items())}
    names = signatures.signature_def
    return ModelSchema(version, features, outputs, is_explainable=REFERENCE_SIGNATURE in names, digest=digest_of(sorted(names)))
