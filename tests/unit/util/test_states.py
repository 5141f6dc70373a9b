"""States as bytes: they come back as they were, and no damage is taken for another state."""

from __future__ import annotations

import math
import struct
import tracemalloc
from collections import Counter, OrderedDict, namedtuple
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tfx_bsl.sketches import QuantilesSketch

from pipeline.util import states

Pair = namedtuple("Pair", ["left", "right"])


class Slots:
    __slots__ = ["count", "mean"]


class Attributes:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


CLASSES = (Pair, Slots, Attributes, QuantilesSketch)

_NUMBERS = arrays.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "<i4", "|b1", "<U3"]), arrays.array_shapes(min_dims=0, min_side=0, max_side=3)
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | _NUMBERS
    | st.dictionaries(st.binary(max_size=4), st.integers(0, 9)).map(Counter)
    | st.dictionaries(st.integers(-9, 9), st.integers(0, 9)).map(Counter)
)
_STATES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.binary(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner).map(lambda pair: Pair(*pair))
    ),
    max_leaves=10,
)


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, with the same types at every place."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


@settings(max_examples=100)
@given(_STATES)
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    assert same(states.loads(states.dumps(state, CLASSES), CLASSES), state)


@settings(max_examples=100)
@given(_STATES, st.data())
def test_no_flipped_bit_and_no_cut_is_taken_for_a_state(state: Any, data: st.DataObject) -> None:
    content = bytearray(states.dumps(state, CLASSES))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(states.BrokenStateError):
        states.loads(bytes(content), CLASSES)
    content = bytearray(states.dumps(state, CLASSES))
    with pytest.raises(states.BrokenStateError):
        states.loads(bytes(content[: data.draw(st.integers(0, len(content) - 1))]), CLASSES)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_told(content: bytes) -> None:
    with pytest.raises(states.BrokenStateError):
        states.loads(content, CLASSES)


def with_head(content: bytes) -> bytes:
    return bytes(states._HEAD.pack(states._MAGIC, states.google_crc32c.value(content)) + content)


@settings(max_examples=100)
@example(struct.pack("<Q", 1) + b"0")
@given(st.binary(max_size=200))
def test_any_bytes_with_the_right_checksum_are_a_state_or_told(content: bytes) -> None:
    try:
        state = states.loads(with_head(content), CLASSES)
    except states.BrokenStateError:
        return
    assert same(states.loads(states.dumps(state, CLASSES), CLASSES), state)


def test_a_document_that_is_shorter_than_it_says_is_told() -> None:
    with pytest.raises(states.BrokenStateError, match="ends at byte 72057594037927944 of 9"):
        states.loads(with_head(struct.pack("<Q", 1 << 56) + b"0"), CLASSES)


def test_numbers_that_are_not_finite_and_scalars_come_back() -> None:
    state = [math.inf, -math.inf, math.nan, np.float64(0.1), np.int64(7), np.float32(-0.0), -0.0]
    back = states.loads(states.dumps(state))
    assert repr(back) == repr(state)
    assert list(map(type, back)) == list(map(type, state))


def test_arrays_of_arrays_come_back() -> None:
    ragged = np.empty(2, object)
    ragged[0], ragged[1] = np.array([1, 2]), np.array([3, 4])
    back = states.loads(states.dumps(ragged))
    assert (back.shape, back[1].tolist()) == ((2,), [3, 4])


def test_arrays_can_be_written_to() -> None:
    back = states.loads(states.dumps(np.zeros(3)))
    back += 1
    assert back.tolist() == [1, 1, 1]


def test_large_states_are_in_memory_once_beside_their_bytes() -> None:
    content = states.dumps([np.zeros(250_000) for _ in range(8)])
    tracemalloc.start()
    states.loads(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * len(content)


def test_tables_come_back() -> None:
    table = pa.table({"value": pa.array([b"a", b"b"], pa.large_binary()), "count": [1, 2]})
    assert states.loads(states.dumps(table)).equals(table)


def test_objects_of_known_classes_come_back() -> None:
    slots = Slots()
    slots.count = 3  # and no mean
    sketch = QuantilesSketch(0.01, 1000, 1)
    sketch.AddValues(pa.array(np.arange(1000.0)))
    state = {"slots": slots, "attributes": Attributes(inner=slots, of=("a", b"b")), "sketch": sketch}

    back = states.loads(states.dumps(state, CLASSES), CLASSES)

    assert (back["slots"].count, hasattr(back["slots"], "mean")) == (3, False)
    assert back["attributes"].inner.count == 3
    assert back["attributes"].of == ("a", b"b")
    assert back["sketch"].__getstate__() == sketch.__getstate__()
    assert back["sketch"].GetQuantiles(4) == sketch.GetQuantiles(4)


def test_objects_of_other_classes_are_not_made() -> None:
    with pytest.raises(states.NotDataError, match="Slots"):
        states.dumps([Slots()], ())
    content = states.dumps([Slots()], (Slots,))
    with pytest.raises(states.BrokenStateError, match="Slots"):
        states.loads(content, (Attributes,))


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(object(), id="object"),
        len,
        {1, 2},
        OrderedDict(),
        Counter({"text": 1}),
        Counter({b"a": 1, 2: 1}),
        Counter({b"a": 1 << 70}),
        np.array([(1, 2)], "i4,i4"),
    ],
    ids=repr,
)
def test_what_is_not_data_is_told(state: Any) -> None:
    with pytest.raises(states.NotDataError):
        states.dumps([state])


def test_many_tokens_take_no_more_room_than_themselves() -> None:
    tokens = Counter({b"token %d" % number: number for number in range(100_000)})
    content = states.dumps(tokens)
    assert states.loads(content) == tokens
    assert len(content) < 100_000 * 32
