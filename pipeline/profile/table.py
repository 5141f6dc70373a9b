"""A whole table, described in one pass over its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.shared.examples.kinds import Kind
from pipeline.profile.columns import ColumnProfile, ColumnReader
from pipeline.profile.sketches import Distinct, RowSample
from pipeline.profile.values import Hashes

_SAMPLED_ROWS = 20_000
_SAMPLED_VALUES = 10_000_000
_REMEMBERED_ROWS = 1_000_000


@dataclass(frozen=True)
class TableProfile:
    """A table.

    Attributes:
      rows: how many rows it has.
      columns: its columns by name, in order.
      unreadable: the types of further columns, which cannot be read, by name.
      repeated: how many rows are equal to an earlier one; estimated beyond a million rows.
      sample: up to 20,000 rows drawn evenly, in order, values in the form of `pipeline.profile.values.normalised`.
    """

    rows: int
    columns: dict[str, ColumnProfile]
    unreadable: dict[str, str]
    repeated: int
    sample: pa.Table

    @classmethod
    def read(
        cls,
        kinds: Mapping[str, Kind],
        batches: Iterable[pa.RecordBatch],
        unreadable: Mapping[str, str],
        told: Callable[[int], None],
    ) -> TableProfile:
        """Reads all rows once.

        Args:
          kinds: the kind of each column.
          batches: the rows.
          unreadable: the types of further columns, which are not in the batches.
          told: called with the number of rows after each batch.
        """
        readers = {name: ColumnReader(name, kind) for name, kind in kinds.items()}
        sample = RowSample(max(1000, min(_SAMPLED_ROWS, _SAMPLED_VALUES // max(1, len(kinds)))))
        distinct_rows = Distinct(_REMEMBERED_ROWS)
        rows = 0
        for batch in batches:
            if not batch.num_rows:
                continue
            present = set(batch.schema.names)
            normal, of_rows = [], np.zeros(batch.num_rows, np.uint64)
            for name, reader in readers.items():
                values, of_column = reader.add(batch.column(name) if name in present else None, batch.num_rows)
                normal.append(values)
                of_rows = _combined(of_rows, of_column)
            distinct_rows.add(of_rows)
            sample.add(normal, list(readers))
            rows += batch.num_rows
            told(rows)
        columns = {name: reader.profile() for name, reader in readers.items()}
        repeated = rows - distinct_rows.count if distinct_rows.is_exact else round(distinct_rows.repeated_share * rows)
        return cls(rows, columns, dict(unreadable), repeated, sample.rows())


def _combined(left: Hashes, right: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        return left * np.uint64(0x9E3779B97F4A7C15) + right
