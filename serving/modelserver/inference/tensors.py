"""TensorProtos to arrays and back, with TensorFlow Serving's checks."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

from serving.modelserver.status import invalid_argument

MAX_DIMENSIONS = 32
"""The most dimensions of a tensor; every release of NumPy has them."""
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


# The fields of all types that an array can have.
_VALUE_FIELDS = _FIELDS | {
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_QINT8: "int_val",
    types_pb2.DT_QUINT8: "int_val",
    types_pb2.DT_QINT16: "int_val",
    types_pb2.DT_QUINT16: "int_val",
    types_pb2.DT_QINT32: "int_val",
    types_pb2.DT_INT4: "int_val",
    types_pb2.DT_UINT4: "int_val",
    types_pb2.DT_FLOAT8_E5M2: "float8_val",
    types_pb2.DT_FLOAT8_E4M3FN: "float8_val",
}
# Of the types that tables have: make_ndarray takes five times as long to find out which one it is.
_ARRAY_TYPES = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_BOOL: np.bool_,
    types_pb2.DT_STRING: np.object_,
}
# What a string takes at the least, in NumPy and in TensorFlow.
_STRING_BYTES = 32


def repeated_bytes(name: str, proto: tensor_pb2.TensorProto, wanted: tensor_shape_pb2.TensorShapeProto) -> int:
    """The bytes of a tensor's array that its message does not have: TensorFlow repeats the last value, or zero.

    Args:
      name: the input's name, for the error.
      proto: the tensor.
      wanted: the shape that the signature declares.

    Raises:
      StatusError: no array has the tensor's type or shape, or values are to be repeated to a shape that is not the wanted one.
    """
    shape = [dimension.size for dimension in proto.tensor_shape.dim[: MAX_DIMENSIONS + 1]]
    if proto.tensor_shape.unknown_rank or len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0:
        raise invalid_argument(f"tensor parsing error: {name}: no tensor has such a shape")
    if proto.dtype not in _VALUE_FIELDS:
        raise invalid_argument(f"tensor parsing error: {name}: tensors of {type_name(proto.dtype)} cannot be sent")
    size = _STRING_BYTES if proto.dtype == types_pb2.DT_STRING else tf.as_dtype(proto.dtype).size
    num_values = math.prod(shape)
    # An empty array whose other dimensions are huge is small, but what a model makes of them is not.
    asked = num_values * size or max(shape, default=0)
    present = len(proto.tensor_content) or len(getattr(proto, _VALUE_FIELDS[proto.dtype])) * size
    if asked <= present:
        return 0
    if not tf.TensorShape(wanted).is_compatible_with(shape):
        raise invalid_argument(f"tensor parsing error: {name}: its shape is {shape}, but {tf.TensorShape(wanted)} is expected")
    return asked - present


def to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The array that a tensor holds.

    Args:
      name: the input's name, for the error.
      proto: the tensor.

    Raises:
      StatusError: the tensor contradicts itself, such as a shape that its values do not fill.
    """
    try:
        if (dtype := _ARRAY_TYPES.get(proto.dtype)) is not None:
            values = getattr(proto, _FIELDS[proto.dtype])
            shape = [dimension.size for dimension in proto.tensor_shape.dim]
            if len(values) == math.prod(shape) and not proto.tensor_content:
                return np.array(values, dtype).reshape(shape)
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, LookupError, MemoryError) as error:
        raise invalid_argument(f"tensor parsing error: {name}") from error


def empty_array(shape: list[int], dtype: int) -> np.ndarray:
    """An array without values.

    Args:
      shape: its shape, with a zero.
      dtype: its type, of tensorflow.DataType.

    Raises:
      StatusError: no array has this type.
    """
    if dtype not in _VALUE_FIELDS:
        raise invalid_argument(f"Tensors of {type_name(dtype)} cannot be sent")
    return np.empty(shape, tf.as_dtype(dtype).as_numpy_dtype)


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
    known = types_pb2.DataType.values()
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower() if dtype in known else f"unknown type {dtype}"
