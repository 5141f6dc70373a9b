"""Tensors of requests become the arrays that TensorFlow makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.modelserver.inference.tensors import to_array, to_proto
from serving.modelserver.status import StatusError

TYPES = [np.float32, np.float64, np.int8, np.int32, np.int64, np.uint32, np.uint64, np.bool_, np.float16, np.complex64]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from(TYPES).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))
STRINGS = arrays.arrays(np.object_, SHAPES, elements=st.binary(max_size=5))


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, strict=True)


@given(NUMBERS | STRINGS, st.booleans())
def test_an_array_is_got_back(array, as_content):
    same(to_array("x", to_proto(array, as_content=as_content)), array)


@given(
    st.sampled_from([("float_val", "DT_FLOAT"), ("int_val", "DT_INT32"), ("int64_val", "DT_INT64"), ("bool_val", "DT_BOOL")]),
    st.lists(st.sampled_from([0, 1]), max_size=4),
    st.lists(st.integers(0, 3), max_size=2),
)
def test_values_that_do_not_fill_the_shape_are_taken_as_tensorflow_takes_them(field, values, shape):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(field[1]), **{field[0]: values})
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    try:
        expected = tf.make_ndarray(proto)
    except ValueError:
        with pytest.raises(StatusError, match="tensor parsing error: x"):
            to_array("x", proto)
    else:
        same(to_array("x", proto), expected)
