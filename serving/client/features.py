"""Raw rows as the columns of the signature `predict_raw`, which has one tensor a feature."""

from __future__ import annotations

import datetime
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.contracts.model import MISSING
from pipeline.util.suggestions import did_you_mean
from serving.errors import FeatureError

Value = int | float | bytes
Values = list[Value]
"""The values that a row has of a feature with several."""
Row = Mapping[str, Any]
Columns = dict[str, list[Value] | list[Values]]
"""Values as the model takes them, by feature; all lists have a value for each row, or as many values for each row."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}")
_SHOWN_CHARACTERS = 60
# Made once: a union takes longer to make than to look into.
_NUMBERS, _TIMES, _UNLIKE_ITSELF = (int, float, Decimal), (datetime.date, str), (float, datetime.datetime)


class _UnfitError(Exception):
    """A value that a feature cannot have; the message says what it should have been."""


@dataclass(frozen=True)
class ModelFeature:
    """An input of the model: one value a row, or a list of them.

    Attributes:
      name: the name of the raw column.
      dtype: TensorFlow's name of its type: DT_FLOAT, DT_INT64 or DT_STRING.
      is_list: whether a row has a list of values.
      size: how many values a list has; None for any number.
    """

    name: str
    dtype: str
    is_list: bool = False
    size: int | None = None

    def encode(self, value: Any) -> Value | Values:
        """Encodes a value as the model takes it.

        Args:
          value: None or NaN where there is none, or, as in training, an infinite float; otherwise text or bytes for a string, a
            number for a number. An integer may be given as a time, too: a date, a datetime or either in ISO 8601, which become
            seconds since 1970 UTC, rounded down; UTC is assumed where a time has no zone. For a list: a list, tuple or array
            of such values.

        Raises:
          FeatureError: the feature cannot have this value.
        """
        return self._encode_list(value) if self.is_list else self._encode_one(value)

    def decode(self, value: Value | Values) -> Any:
        """The opposite of `encode`, as JSON can hold it: text, a number, None for a missing value, or a list of these."""
        if isinstance(value, list):
            values = [self._decode_one(each) for each in value]
            return values if self.size or None not in values else values[: values.index(None)]
        return self._decode_one(value)

    def pad(self, rows: Sequence[Values]) -> list[Values]:
        """Lists of the same length: the feature's, or one in which the list of each row ends with a missing value.

        Where a model server pads the rows of several callers with zeros to one length, those behind the end do not count.
        """
        missing = _MISSING[self.dtype]
        # A missing value within a list would end it.
        lists = rows if self.size else [[value for value in values if value == value != missing] for values in rows]
        width = self.size or 1 + max(map(len, lists))
        return [[*values, *[missing] * (width - len(values))] for values in lists]

    def _decode_one(self, value: Value) -> Any:
        if value == _MISSING[self.dtype] or value != value:
            return None
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def _encode_list(self, value: Any) -> Values:
        if getattr(getattr(value, "dtype", None), "kind", "") == "M" and value.shape:
            # Nanoseconds would become plain integers.
            value = value.astype("datetime64[us]")
        plain = value.tolist() if hasattr(value, "tolist") and getattr(value, "shape", None) else value
        if not isinstance(plain, list | tuple):
            if _is_missing(_plain(plain)):
                return []
            raise self._unfit("a list", value)
        if self.size is not None and plain and len(plain) != self.size:
            raise self._unfit(f"a list of {self.size} values", value)
        return [self._encode_one(each) for each in plain]

    def _unfit(self, expected: object, value: Any) -> FeatureError:
        return FeatureError(
            f"The feature {self.name!r} cannot have this value.",
            where=f"feature {self.name!r}",
            expected=f"{expected}, or null where there is no value",
            seen=f"{_shown(value)}, of type {type(value).__name__}",
        )

    def _encode_one(self, value: Any) -> Value:
        plain = _plain(value)
        if _is_missing(plain):
            return _MISSING[self.dtype]
        try:
            return _ENCODERS[self.dtype](plain)
        except _UnfitError as unfit:
            raise self._unfit(unfit, value) from None


def encode_rows(
    rows: Sequence[Row],
    features: Mapping[str, ModelFeature],
    first: int = 1,
    encoded: Mapping[str, ModelFeature] | None = None,
) -> Columns:
    """Turns rows into columns.

    Args:
      rows: values by feature; a feature that a row lacks is missing.
      features: the model's features by name.
      first: the number of the first row, for messages.
      encoded: the features for which the values have been encoded already, but for None and text, by name. As long as their
        types are the model's, nothing is encoded twice. What the model does not take is left out.

    Raises:
      FeatureError: a row does not suit the model; `where` names row and feature.
    """
    if encoded is not None and all(encoded.get(name, feature) == feature for name, feature in features.items()):
        return {name: _column(rows, feature) for name, feature in features.items()}
    columns: dict[str, list[Any]] = {name: [] for name in features}
    for number, row in enumerate(rows, start=first):
        if not isinstance(row, Mapping):
            raise FeatureError(
                "A row is not a mapping.",
                where=f"row {number}",
                expected="values by feature: {'carrier': 'UA', …}",
                seen=_shown(row),
            )
        for name in row if encoded is None else ():
            if name not in features:
                raise _unknown(name, features, number)
        for name, feature in features.items():
            try:
                columns[name].append(feature.encode(row.get(name)))
            except FeatureError as error:
                error.where = f"row {number}, feature {name!r}"
                raise
    return {name: feature.pad(columns[name]) if feature.is_list else columns[name] for name, feature in features.items()}


def _column(rows: Sequence[Row], feature: ModelFeature) -> list[Value] | list[Values]:
    name, missing = feature.name, _MISSING[feature.dtype]
    values = [row.get(name) for row in rows]
    if feature.is_list:
        return feature.pad([[_encoded(each, missing) for each in value or ()] for value in values])
    if feature.dtype == "DT_STRING":
        return [missing if value is None else value.encode() for value in values]
    return [missing if value is None else value for value in values]


def _encoded(value: Any, missing: Value) -> Any:
    if value is None:
        return missing
    return value.encode() if isinstance(value, str) else value


def _unknown(name: object, features: Mapping[str, ModelFeature], number: int) -> FeatureError:
    return FeatureError(
        f"The model has no feature {name!r}.",
        where=f"row {number}",
        expected=f"any of {', '.join(sorted(features))}",
        seen=str(name),
        fix=did_you_mean(str(name), features) or "Leave it out.",
    )


def _plain(value: Any) -> Any:
    """Python's own value for a scalar of NumPy; an array of one value is not taken for it."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    if dtype.kind == "M":
        # Nanoseconds would become a plain integer.
        return value.astype("datetime64[us]").item()
    return value.item() if dtype.kind in "biuf" else value


def _is_missing(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    # Only NaN, and what pandas has for a missing time, differ from themselves.
    return value is None or (isinstance(value, _UNLIKE_ITSELF) and value != value)


def _string(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise _UnfitError("text that UTF-8 can hold") from None
    raise _UnfitError(_EXPECTED["DT_STRING"])


def _float(value: Any) -> float:
    if not isinstance(value, _NUMBERS):
        raise _UnfitError(_EXPECTED["DT_FLOAT"])
    try:
        number = float(value)
        # In training an infinite number is no value, so that its place is taken in the same way.
        return float(struct.unpack("<f", struct.pack("<f", number))[0]) if math.isfinite(number) else math.nan
    except OverflowError:
        raise _UnfitError("a number below 3.4e38, as the model computes with 32-bit floats") from None


def _integer(value: Any) -> int:
    if isinstance(value, _TIMES):
        return _seconds(value)
    if not isinstance(value, _NUMBERS):
        raise _UnfitError(_EXPECTED["DT_INT64"])
    if not _SMALLEST < value <= _LARGEST:
        raise _UnfitError(f"an integer from {_SMALLEST + 1} to {_LARGEST}")
    # Tables with gaps often hold integers as floats.
    if value != int(value):
        raise _UnfitError("an integer")
    return int(value)


def _seconds(value: datetime.date | str) -> int:
    """Seconds since 1970 UTC, rounded down."""
    if isinstance(value, str):
        if not _DATE.match(value):
            raise _UnfitError(_EXPECTED["DT_INT64"])
        text = value.strip()
        try:
            # Python 3.10 does not know the Z.
            value = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
        except ValueError:
            raise _UnfitError("a time in ISO 8601, such as 2013-04-01T06:30:00Z") from None
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    moment = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
    return (moment - _EPOCH) // datetime.timedelta(seconds=1)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of more than 4300 digits.
        return "a value too long to show"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_ENCODERS: Mapping[str, Callable[[Any], Value]] = {"DT_FLOAT": _float, "DT_INT64": _integer, "DT_STRING": _string}
DTYPES = frozenset(_ENCODERS)
"""The types that a feature can have: those of a tf.Example."""

_MISSING: Mapping[str, Value] = {"DT_FLOAT": MISSING["float"], "DT_INT64": MISSING["int"], "DT_STRING": MISSING["string"]}

_EXPECTED: Mapping[str, str] = {
    "DT_FLOAT": "a number",
    "DT_INT64": "an integer; or, for a time, a date or datetime, also as text in ISO 8601",
    "DT_STRING": "text",
}
