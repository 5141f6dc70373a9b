"""States of accumulators as bytes, and back: a format of data alone, of which no damage is taken for another state.

A state is eight bytes of magic, the CRC-32C of all that follows, the length of a JSON document, that document, and the bytes
that it refers to. The document is the state as a tree. What JSON does not have is a list with a tag first: `["tuple", 1, 2]`;
bytes, and arrays in numpy's or Arrow's own form, end with their offset and length. Objects are made only of classes that the
reader names.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa

_MAGIC = b"CVSTATE1"
_HEAD = struct.Struct("<8sI")
_LENGTH = struct.Struct("<Q")
_KEYS, _COUNTS = "keys", "counts"
_BYTES_AT_ONCE = 1 << 20


class NotDataError(TypeError):
    """A state holds something that is not of the kinds that can be written."""


class BrokenStateError(ValueError):
    """The bytes are not a state that this reader can read."""


def dumps(state: Any, classes: Sequence[type] = ()) -> bytes:
    """A state as bytes.

    Args:
      state: None, booleans, numbers, text, bytes, numpy's arrays and scalars, Arrow tables, objects of the classes, and lists,
        tuples, dictionaries and counters of these.
      classes: of objects; each is a tuple with names, has `__getstate__` and `__setstate__`, or is no more than its attributes.

    Raises:
      NotDataError: the state holds something else.
    """
    return b"".join(parts(state, classes))


def parts(state: Any, classes: Sequence[type] = ()) -> list[bytes]:
    """What `dumps` returns, in parts to be written one after the other: large states are in memory once more, and not twice.

    Arguments and errors are those of `dumps`.
    """
    writer = _Writer(classes)
    document = json.dumps(writer.tree(state), separators=(",", ":")).encode()
    body = [_LENGTH.pack(len(document)), document, *writer.blobs]
    checksum = 0
    for part in body:
        checksum = google_crc32c.extend(checksum, part)
    return [_HEAD.pack(_MAGIC, checksum), *body]


def loads(content: bytes, classes: Sequence[type] = ()) -> Any:
    """The state that `dumps` has written.

    Args:
      content: the bytes.
      classes: the classes of objects, as for `dumps`.

    Raises:
      BrokenStateError: the bytes are damaged, or of another release.
    """
    # No copy of it: large states are in memory twice as it is.
    body = memoryview(content)[_HEAD.size :]
    if len(content) < _HEAD.size or _HEAD.unpack_from(content) != (_MAGIC, _checksum(body)):
        raise BrokenStateError("its checksum is not that of its content")
    try:
        (length,) = _LENGTH.unpack_from(body)
        end = _LENGTH.size + length
        if end > len(body):
            raise ValueError(f"its document ends at byte {end} of {len(body)}")
        return _Reader(classes, body[end:]).state(json.loads(bytes(body[_LENGTH.size : end])))
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, struct.error) as error:
        raise BrokenStateError(f"{type(error).__name__}: {error}") from error


def _checksum(content: memoryview) -> int:
    checksum = 0
    for start in range(0, len(content), _BYTES_AT_ONCE):
        checksum = google_crc32c.extend(checksum, bytes(content[start : start + _BYTES_AT_ONCE]))
    return checksum


class _Writer:
    def __init__(self, classes: Sequence[type]) -> None:
        self.blobs: list[bytes] = []
        self._size = 0
        self._classes = set(classes)

    def tree(self, state: Any) -> Any:
        kind = type(state)
        if state is None or kind in (bool, int, float, str):
            return state
        if kind is bytes:
            return ["bytes", *self._blob(state)]
        if kind in (list, tuple):
            return [kind.__name__, *map(self.tree, state)]
        if kind is dict:
            return ["dict", *([self.tree(key), self.tree(value)] for key, value in state.items())]
        if kind is Counter:
            return ["counter", *self._blob(_table_bytes(_counts(state)))]
        if kind is pa.Table:
            return ["table", *self._blob(_table_bytes(state))]
        if kind is np.ndarray and state.dtype.hasobject:
            return ["objects", list(state.shape), *map(self.tree, state.ravel().tolist())]
        if kind is np.ndarray or isinstance(state, np.generic):
            return self._numbers(state)
        if kind in self._classes:
            return ["object", _name(kind), self.tree(_parts(state))]
        raise NotDataError(f"a {_name(kind)}")

    def _numbers(self, state: Any) -> list[Any]:
        if state.dtype.fields is not None or state.dtype.hasobject:
            raise NotDataError(f"an array of {state.dtype}")
        tag = "array" if isinstance(state, np.ndarray) else "scalar"
        return [tag, state.dtype.str, list(state.shape), *self._blob(state.tobytes())]

    def _blob(self, content: bytes) -> tuple[int, int]:
        offset = self._size
        self.blobs.append(content)
        self._size += len(content)
        return offset, len(content)


class _Reader:
    def __init__(self, classes: Sequence[type], blobs: memoryview) -> None:
        self._classes = {_name(each): each for each in classes}
        self._blobs = blobs

    def state(self, tree: Any) -> Any:
        if not isinstance(tree, list):
            return tree
        tag, *rest = tree
        return _READERS[tag](self, rest)

    def _bytes(self, place: Sequence[int]) -> bytes:
        offset, length = place
        if offset + length > len(self._blobs):
            raise BrokenStateError("it ends before its last bytes")
        return bytes(self._blobs[offset : offset + length])

    def _table(self, place: Sequence[int]) -> pa.Table:
        with pa.ipc.open_stream(self._bytes(place)) as stream:
            return stream.read_all()

    def _counter(self, place: Sequence[int]) -> Counter[bytes | int]:
        table = self._table(place)
        return Counter(dict(zip(table[_KEYS].to_pylist(), table[_COUNTS].to_pylist(), strict=True)))

    def _dict(self, items: Sequence[Any]) -> dict[Any, Any]:
        return {self.state(key): self.state(value) for key, value in items}

    def _array(self, rest: Sequence[Any]) -> Any:
        dtype, shape, *place = rest
        # A copy can be written to, as accumulators are.
        return np.frombuffer(self._bytes(place), np.dtype(dtype)).reshape(shape).copy()

    def _objects(self, rest: Sequence[Any]) -> Any:
        shape, *items = rest
        array = np.empty(len(items), object)
        for position, item in enumerate(items):
            array[position] = self.state(item)
        return array.reshape(shape)

    def _object(self, rest: Sequence[Any]) -> Any:
        name, parts = rest
        return _made(self._classes[name], self.state(parts))


_READERS: dict[str, Callable[[_Reader, list[Any]], Any]] = {
    "bytes": _Reader._bytes,
    "list": lambda reader, items: [reader.state(item) for item in items],
    "tuple": lambda reader, items: tuple(reader.state(item) for item in items),
    "dict": _Reader._dict,
    "counter": _Reader._counter,
    "table": _Reader._table,
    "objects": _Reader._objects,
    "array": _Reader._array,
    "scalar": lambda reader, rest: reader._array(rest)[()],
    "object": _Reader._object,
}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _parts(state: Any) -> Any:
    if isinstance(state, tuple):
        return tuple(state)
    if hasattr(state, "__setstate__"):
        return state.__getstate__()
    return {name: getattr(state, name) for name in _attributes(state) if hasattr(state, name)}


def _made(kind: type, parts: Any) -> Any:
    if issubclass(kind, tuple):
        return tuple.__new__(kind, parts)
    made: Any = kind.__new__(kind)
    if hasattr(kind, "__setstate__"):
        made.__setstate__(parts)
    else:
        for name, value in parts.items():
            object.__setattr__(made, name, value)
    return made


def _attributes(state: Any) -> Iterator[str]:
    for kind in type(state).__mro__:
        yield from kind.__dict__.get("__slots__", ())
    yield from getattr(state, "__dict__", ())


def _counts(counter: Counter[Any]) -> pa.Table:
    kinds = set(map(type, counter))
    if len(kinds) > 1 or not kinds <= {bytes, int}:
        raise NotDataError("a Counter of keys other than bytes or integers")
    kind = pa.int64() if int in kinds else pa.large_binary()
    try:
        return pa.table({_KEYS: pa.array(counter.keys(), kind), _COUNTS: pa.array(counter.values(), pa.int64())})
    except (pa.ArrowException, OverflowError) as error:
        raise NotDataError(f"a Counter with a number that is not of 64 bits: {error}") from error


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
