"""TFRecord files: records one after the other, each with its length and checksums.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those, the data, the masked CRC-32C of the data:
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. Written here from and to Arrow arrays, many
records at once and without TensorFlow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Literal

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.examples.encoder import with_heads

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_LENGTH_BYTES = 8


def compression_of(path: str) -> Literal["GZIP", ""]:
    """How a file is compressed, by its name, in the words of `tf.data.TFRecordDataset`."""
    return "GZIP" if path.endswith(".gz") else ""


class BrokenRecordError(ValueError):
    """A record is cut short, or its checksum is not its data's.

    Attributes:
      record: the record's number, from 1.
      offset: the position of its first byte in the decompressed file.
    """

    def __init__(self, reason: str, record: int, offset: int) -> None:
        super().__init__(reason)
        self.record, self.offset = record, offset


def frame(records: pa.Array) -> pa.Buffer:
    """The bytes of a TFRecord file.

    Args:
      records: large_binary, at least one, no nulls.
    """
    checksums = np.fromiter(map(google_crc32c.value, records.to_pylist()), np.uint32, len(records))
    masked = (checksums >> np.uint32(15) | checksums << np.uint32(17)) + np.uint32(_MASK_DELTA)
    feet = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4), len(records), [None, pa.py_buffer(masked.astype("<u4"))])
    nothing = pa.scalar(b"", pa.large_binary())
    joined = pc.binary_join_element_wise(with_heads(records, _head), feet.cast(pa.large_binary()), nothing)
    return joined.buffers()[2]


def begins(head: bytes) -> bool:
    """Whether a file that begins with these bytes, decompressed, is TFRecord: its first checksum is right."""
    if len(head) < _HEAD.size:
        return False
    _, checksum = _HEAD.unpack_from(head)
    return bool(checksum == _masked(head[:_LENGTH_BYTES]))


def read(file: IO[bytes]) -> Iterator[bytes]:
    """The records of a decompressed file, checksums checked.

    Raises:
      BrokenRecordError: the file is not TFRecord, or damaged.
    """
    offset, record = 0, 1
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise BrokenRecordError("the file ends within the record's length", record, offset)
        size, checksum = _HEAD.unpack(head)
        if checksum != _masked(head[:_LENGTH_BYTES]):
            raise BrokenRecordError("the checksum of the record's length is wrong", record, offset)
        body = file.read(size + _FOOT.size)
        if len(body) < size + _FOOT.size:
            raise BrokenRecordError(f"the file ends within the record, {size} bytes long", record, offset)
        data = body[:size]
        if _FOOT.unpack_from(body, size)[0] != _masked(data):
            raise BrokenRecordError("the checksum of the record's data is wrong", record, offset)
        yield data
        offset += _HEAD.size + len(body)
        record += 1


def _head(size: int) -> bytes:
    length = size.to_bytes(_LENGTH_BYTES, "little")
    return length + _FOOT.pack(_masked(length))


def _masked(data: bytes) -> int:
    checksum: int = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF
