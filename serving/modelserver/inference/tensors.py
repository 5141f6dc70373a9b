"""TensorProtos to arrays and back, with TensorFlow Serving's checks."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.modelserver.status import invalid_argument

# The field of a TensorProto that holds the values of a type, where it can be filled from the array's plain values.
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}


def to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The array that a tensor holds.

    Args:
      name: the input's name, for the error.
      proto: the tensor.

    Raises:
      StatusError: the tensor contradicts itself, such as a shape that its values do not fill.
    """
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise invalid_argument(f"tensor parsing error: {name}") from error


def to_proto(array: np.ndarray, *, as_content: bool = False) -> tensor_pb2.TensorProto:
    """The tensor that holds an array.

    Args:
      array: as a session answers it; strings are objects (bytes).
      as_content: raw bytes in `tensor_content`, which is quicker, instead of typed fields, which clients can read directly.
    """
    array = np.asarray(array)
    dtype = data_type(array)
    field = _FIELDS.get(dtype)
    if field is None:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if as_content and dtype != types_pb2.DT_STRING:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, field).extend(array.ravel().tolist())
    return proto


def data_type(array: np.ndarray) -> int:
    """The type of tensorflow.DataType that an array has."""
    return int(tf.as_dtype(array.dtype).as_datatype_enum)


def type_name(dtype: int) -> str:
    """TensorFlow Serving's name for a type of tensorflow.DataType, such as float for DT_FLOAT."""
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()
