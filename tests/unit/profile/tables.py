"""Profiles of small tables for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from components.shared.examples.kinds import Kind, is_list, kind_of
from pipeline.profile import TableProfile


def profile(columns: Mapping[str, Sequence[object] | pa.Array], batch_rows: int = 1000) -> TableProfile:
    """The profile of a table with these columns, read in batches of so many rows."""
    table = pa.table(dict(columns))
    kinds = {field.name: _kind(field.type) for field in table.schema}
    return TableProfile.read(kinds, table.to_batches(batch_rows), {}, lambda rows: None)


def _kind(arrow_type: pa.DataType) -> Kind:
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz:
        return Kind.ZONED_TIME
    kind = kind_of(arrow_type.value_type if is_list(arrow_type) else arrow_type)
    assert kind is not None
    return kind
