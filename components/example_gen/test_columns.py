from __future__ import annotations

from collections.abc import Sequence

import pytest

from components.example_gen.columns import check_columns, require_columns
from pipeline.contracts.schema import Schema, parse_schema
from pipeline.errors import DataError

SCHEMA = Schema.of(
    parse_schema(
        b"""
    feature { name: "distance" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } }
    feature { name: "carrier" type: BYTES }
    feature { name: "late" type: INT presence { min_fraction: 1.0 min_count: 1 } }
    feature { name: "gone" type: INT lifecycle_stage: DEPRECATED presence { min_count: 1 } }
        """,
        "schema.pbtxt",
    )
)


def require(columns: Sequence[str], unneeded: Sequence[str] = ("late",)) -> None:
    require_columns(columns, SCHEMA, unneeded, "new.csv")


def test_a_missing_column_is_refused_with_the_name_it_may_have_now() -> None:
    with pytest.raises(DataError, match="lacks columns that the model was trained on: distance") as caught:
        require(["Distance", "late"])
    assert caught.value.details()["fix"] == "Rename 'Distance' to 'distance'."


def test_the_label_may_be_missing_if_it_is_unneeded() -> None:
    require(["distance"])
    with pytest.raises(DataError, match="trained on: late"):
        require(["distance"], unneeded=())


def test_nul_in_a_name_is_refused_and_another_character_is_not() -> None:
    names = ["x", "a\0b"]
    with pytest.raises(DataError, match="NUL") as caught:
        check_columns("rows.parquet", names)
    assert caught.value.fix == "Rename the column, for instance to 'a_b'."
    check_columns("rows.parquet", ["x", "a_b"])
