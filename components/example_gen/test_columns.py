from __future__ import annotations

from collections.abc import Sequence

import pytest

from components.example_gen.columns import conform
from components.shared.examples.kinds import Kind
from pipeline.contracts.schema import Schema, parse_schema
from pipeline.errors import DataError

SCHEMA = Schema.of(
    parse_schema(
        b"""
    feature { name: "distance" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } }
    feature { name: "stops" type: INT presence { min_count: 1 } }
    feature { name: "carrier" type: BYTES }
    feature { name: "late" type: INT presence { min_fraction: 1.0 min_count: 1 } }
    feature { name: "gone" type: INT lifecycle_stage: DEPRECATED presence { min_count: 1 } }
        """,
        "schema.pbtxt",
    )
)


def conformed(unneeded: Sequence[str] = ("late",), **kinds: Kind) -> dict[str, Kind]:
    return conform({"distance": Kind.FLOAT, "stops": Kind.INTEGER, **kinds}, SCHEMA, unneeded, "new.csv")


@pytest.mark.parametrize(
    ("column", "found", "stored"),
    [
        ("distance", Kind.INTEGER, Kind.FLOAT),
        ("distance", Kind.BOOLEAN, Kind.FLOAT),
        ("distance", Kind.EMPTY, Kind.EMPTY),
        ("stops", Kind.FLOAT, Kind.INTEGER),
        ("stops", Kind.BOOLEAN, Kind.BOOLEAN),
        ("stops", Kind.TIME, Kind.TIME),
        ("carrier", Kind.TEXT, Kind.TEXT),
        ("unknown", Kind.TIME, Kind.TIME),
    ],
)
def test_a_column_is_stored_as_the_model_knows_it(column: str, found: Kind, stored: Kind) -> None:
    assert conformed(**{column: found})[column] is stored


@pytest.mark.parametrize(
    ("column", "found"),
    [("distance", Kind.TEXT), ("distance", Kind.TIME), ("stops", Kind.TEXT), ("carrier", Kind.INTEGER)],
)
def test_a_column_of_another_type_is_refused(column: str, found: Kind) -> None:
    with pytest.raises(DataError, match=f"{column!r} is not of the type") as caught:
        conformed(**{column: found})
    assert caught.value.seen == found.value


def test_a_missing_column_is_refused_with_the_name_it_may_have_now() -> None:
    with pytest.raises(DataError, match="lacks columns that the model was trained on: distance") as caught:
        conform({"Distance": Kind.FLOAT, "stops": Kind.INTEGER, "late": Kind.INTEGER}, SCHEMA, (), "new.csv")
    assert caught.value.details()["fix"] == "Rename 'Distance' to 'distance'."


def test_the_label_may_be_missing_if_it_is_unneeded() -> None:
    with pytest.raises(DataError, match="trained on: late"):
        conformed(unneeded=())
    assert "late" not in conformed()
