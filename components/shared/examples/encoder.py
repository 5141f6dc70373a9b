"""Rows of an Arrow RecordBatch as serialized tf.Examples, column by column.

tfx_bsl's RecordBatchToExamplesEncoder writes the features of a row in an order that changes from call to call, so that
neither a file nor a hash of a row could be reproduced; it writes a feature for a null, and it keeps Python's lock. This
encoder sorts the features by name, leaves nulls out, and runs in several threads at once. In protocol buffers a message is
its payload after a head that depends on the payload's length alone: heads are made once for each length that occurs, and
Arrow joins heads and payloads of all columns in one call.

The wire format: https://protobuf.dev/programming-guides/encoding/; the messages: tensorflow/core/example/example.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.examples.kinds import Kind, convert, is_list

_FIELD_1 = b"\x0a"  # a length-delimited field: Example.features, Features.feature, a map entry's key, a list's values
_FIELD_2 = b"\x12"  # a map entry's value
_FEATURE_BYTES, _FEATURE_FLOAT, _FEATURE_INT64 = b"\x0a", b"\x12", b"\x1a"
_NOTHING = pa.scalar(b"", pa.large_binary())
_LONGEST_VARINT = 10


def encode(batch: pa.RecordBatch, kinds: Mapping[str, Kind]) -> pa.Array:
    """Serializes rows.

    Args:
      batch: columns of scalars or of lists of scalars; N rows.
      kinds: the kind of each column of the table; the type of a column in the batch may be narrower.

    Returns:
      large_binary [N], a serialized tf.Example each. A null, an empty string and an empty list become no feature at all.

    Raises:
      ColumnError: a column has a value that its feature cannot represent.
    """
    parts = []
    for name in sorted(batch.schema.names, key=str.encode):
        if kinds[name] is not Kind.EMPTY:
            try:
                parts.extend(_map_entries(name, kinds[name], batch.column(name)))
            except pa.ArrowInvalid as error:
                raise ColumnError(name, error) from error
    if not parts:
        parts = [pa.array([b""] * batch.num_rows, pa.large_binary())]
    # Not "skip", which leaves out rows in which everything is null (Arrow 18).
    features = pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace", null_replacement="")
    return with_heads(features, lambda size: _FIELD_1 + varint(size))


class ColumnError(ValueError):
    """A column has a value that its feature cannot represent."""

    def __init__(self, column: str, reason: Exception) -> None:
        super().__init__(str(reason))
        self.column = column


def with_heads(payloads: pa.Array, head: Callable[[int], bytes]) -> pa.Array:
    """Puts a head that depends on the length in bytes before each payload (large_binary, without nulls)."""
    return pc.binary_join_element_wise(_heads(payloads, head), payloads, _NOTHING)


def varint(number: int) -> bytes:
    """A number from 0 on in protocol buffers' variable-length form: seven bits a byte, the least significant first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _map_entries(name: str, kind: Kind, column: pa.Array) -> list[pa.Array]:
    """Heads and payloads of the entries that a column adds to each row's feature map; null where it adds none."""
    values, counts = _present_values(column, kind)
    elements, offsets = _elements(convert(values, kind), kind)
    ends = np.concatenate([[0], np.cumsum(counts)])
    rows = _large_binary(elements, offsets[ends], present=counts > 0)
    key = name.encode()
    tag = {Kind.TEXT: _FEATURE_BYTES, Kind.FLOAT: _FEATURE_FLOAT}.get(kind, _FEATURE_INT64)

    def head(size: int) -> bytes:
        # Numbers are packed into one field; each string is a field of its own.
        inside = b"" if kind is Kind.TEXT else _FIELD_1 + varint(size)
        inside = tag + varint(len(inside) + size) + inside
        inside = _FIELD_1 + varint(len(key)) + key + _FIELD_2 + varint(len(inside) + size) + inside
        return _FIELD_1 + varint(len(inside) + size) + inside

    return [_heads(rows, head), rows]


def _present_values(column: pa.Array, kind: Kind) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The values of all rows in one array without nulls and empty strings, and how many each row has."""
    if is_list(column.type):
        values = column.flatten()
        rows = pc.list_parent_indices(column).to_numpy()
    else:
        values = column
        rows = np.arange(len(column))
    present = values.is_valid()
    if kind is Kind.TEXT and not is_list(column.type):
        present = pc.and_kleene(present, pc.not_equal(pc.binary_length(_plain(values)), 0)).fill_null(False)
    if pc.all(present).as_py() is False:
        values, rows = values.filter(present), rows[present.to_numpy(zero_copy_only=False)]
    return values, np.bincount(rows, minlength=len(column))


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def _elements(values: pa.Array, kind: Kind) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Encoded values one after the other, and the offset of each, with the end as the last."""
    if kind is Kind.TEXT:
        fields = with_heads(values, lambda size: _FIELD_1 + varint(size))
        offsets = np.frombuffer(fields.buffers()[1], np.int64, len(fields) + 1)
        data = fields.buffers()[2]
        return np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8), offsets
    if kind is Kind.FLOAT:
        return values.to_numpy().view(np.uint8), np.arange(len(values) + 1, dtype=np.int64) * 4
    return _varints(values.to_numpy())


def _varints(numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The variable-length form of every number. Negative ones are their 64-bit two's complement, ten bytes long."""
    unsigned = numbers.view(np.uint64)
    sizes = np.ones(len(numbers), np.int64)
    for size in range(1, _LONGEST_VARINT):
        longer = unsigned >= np.uint64(1 << 7 * size)
        if not longer.any():
            break
        sizes += longer
    width = int(sizes.max(initial=1))
    places = np.arange(width)
    septets = (unsigned[:, None] >> (places * 7).astype(np.uint64)).astype(np.uint8) & np.uint8(0x7F)
    septets |= (places < sizes[:, None] - 1).astype(np.uint8) << 7
    return septets[places < sizes[:, None]], np.concatenate([[0], np.cumsum(sizes)])


def _heads(payloads: pa.Array, head: Callable[[int], bytes]) -> pa.Array:
    sizes = pc.binary_length(payloads).dictionary_encode()
    heads = pa.array([head(size) for size in sizes.dictionary.to_pylist()], pa.large_binary())
    return heads.take(sizes.indices)


def _large_binary(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> pa.Array:
    validity = pa.array(present).buffers()[1]
    offsets = np.ascontiguousarray(offsets, np.int64)
    return pa.Array.from_buffers(pa.large_binary(), len(present), [validity, pa.py_buffer(offsets), pa.py_buffer(data)])
