"""Batches of examples whose columns are known: the same as tfx_bsl decodes them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.statistics_gen import batches
from components.statistics_gen.batches import read_batches

pytestmark = pytest.mark.integration

# tfx_bsl takes a name to end at a zero byte.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=3)
TYPES = {
    Kind.INTEGER: (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    Kind.FLOAT: (pa.float32(), st.floats(width=32)),
    Kind.TEXT: (pa.binary(), st.binary(max_size=8) | st.text(max_size=8).map(str.encode) | st.just(b"\0")),
    Kind.EMPTY: (pa.null(), st.none()),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.RecordBatch, dict[str, Kind]]:
    """Columns of values and of lists, with nulls."""
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(list(TYPES)), min_size=1, max_size=5))
    num_rows = draw(st.integers(1, 8))
    columns = []
    for kind in kinds.values():
        arrow_type, values = TYPES[kind]
        if kind is not Kind.EMPTY and draw(st.booleans()):
            arrow_type, values = pa.list_(arrow_type), st.lists(values, max_size=3)
        rows = draw(st.lists(st.none() | values, min_size=num_rows, max_size=num_rows))
        columns.append(pa.array(rows, arrow_type))
    return pa.record_batch(columns, names=list(kinds)), kinds


@settings(max_examples=40)
@given(tables())
def test_batches_are_those_that_tfx_bsl_decodes(table: tuple[pa.RecordBatch, dict[str, Kind]]) -> None:
    rows, kinds = table
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_SIZE", 3)
        file = str(Path(folder, "rows"))
        with tf.io.TFRecordWriter(file) as writer:
            for example in encode(rows, kinds).to_pylist():
                writer.write(example)

        parsed, decoded = list(read_batches([file], kinds)), list(read_batches([file]))

    for one, other in zip(parsed, decoded, strict=True):
        one.validate(full=True)
        assert (one.num_rows, sorted(one.schema.names)) == (other.num_rows, sorted(other.schema.names))
        for name in other.schema.names:
            assert one.schema.field(name).type == other.schema.field(name).type
            assert repr(one.column(name).to_pylist()) == repr(other.column(name).to_pylist())
