"""TFRecord files of tf.Examples.

Records are decoded rather than copied, so that their columns are checked, and so that a row is hashed into the same split
whatever its format and the order in which its features were written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

import pyarrow as pa

from components.example_gen.columns import FileSummary, check_columns
from components.example_gen.evidence import Evidence
from components.example_gen.files import DECOMPRESSION_ERRORS, broken, damaged, open_binary, require_content
from components.example_gen.readers.dialect import Dialect
from components.shared.examples import tfrecord
from pipeline.errors import DataError

BATCH_ROWS = 16_384
dialect: Dialect | None = None


def scan(path: str, ignored: Collection[str]) -> FileSummary:
    """Decodes the whole file for its features, their types and the number of records.

    Raises:
      DataError: the file is empty or damaged, its records are not tf.Examples, or a feature has several types.
    """
    rows = 0
    columns: dict[str, Evidence] = {}
    for batch in _decoded(path):
        check_columns(path, batch.schema.names)
        for name in batch.schema.names:
            found = Evidence() if name in ignored else Evidence.of_feature(batch.column(name))
            known = columns.get(name, Evidence())
            if known.kinds and found.kinds and known.kinds != found.kinds:
                raise DataError(
                    f"The feature {name!r} has several types.",
                    where=f"{path}, records {rows + 1} to {rows + batch.num_rows}",
                    expected=f"{', '.join(known.kinds)}, as in earlier records",
                    seen=", ".join(found.kinds),
                    fix="Write the feature with one type in all records.",
                )
            columns[name] = known + found
        rows += batch.num_rows
    return FileSummary(path, rows, columns)


def batches(path: str, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The records in batches of up to 16,384, a column of lists for each feature that occurs.

    Raises:
      DataError: the file is damaged, or its records are not tf.Examples.
    """
    for batch in _decoded(path):
        yield batch.select([name for name in batch.schema.names if name in columns])


def place_of(path: str, row: int) -> str:
    """The number of a record."""
    return f"record {row:,}"


def _decoded(path: str) -> Iterator[pa.RecordBatch]:
    # Importing tfx_bsl takes a second that other formats need not wait for.
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    require_content(path)
    decoder = ExamplesToRecordBatchDecoder()
    done = 0
    try:
        with open_binary(path) as file:
            records = tfrecord.read(file)
            while chunk := list(islice(records, BATCH_ROWS)):
                yield decoder.DecodeBatch(chunk)
                done += len(chunk)
    except tfrecord.BrokenRecordError as error:
        raise damaged(path, "TFRecord", error, part=f"record {error.record}, offset {error.offset}") from error
    except DECOMPRESSION_ERRORS as error:
        raise broken(path, error) from error
    except (RuntimeError, ValueError) as error:
        part = f"records {done + 1} to {done + len(chunk)}"
        raise damaged(path, "tf.Examples in which a feature has one type", error, part=part) from error
