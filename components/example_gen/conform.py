"""The columns of a table as the schema of a model that is to score it wants them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from components.example_gen.columns import Kind
from pipeline.contracts.schema import Schema
from pipeline.errors import DataError

_INTEGERS = (Kind.BOOLEAN, Kind.INTEGER, Kind.TIME, Kind.ZONED_TIME)
_WANTED = {"float": Kind.FLOAT, "int": Kind.INTEGER, "bytes": Kind.TEXT}


def conform(kinds: Mapping[str, Kind], schema: Schema, unneeded: Collection[str], where: str) -> dict[str, Kind]:
    """The kinds to store columns as, so that the model finds the types that it was trained on.

    A column that holds floats in one table may hold nothing but integers in the next, and the other way round; its values
    decide whether they fit.

    Args:
      kinds: what each column of the table holds.
      schema: of the data that the model was trained on.
      unneeded: columns of the schema that the table may lack: the label, and what the model ignores.
      where: the input pattern, for the message.

    Raises:
      DataError: a column that the schema expects is missing, or holds what cannot be stored as the schema says.
    """
    expected = {feature.name: feature for feature in schema.features if not feature.is_deprecated}
    missing = [name for name, feature in expected.items() if feature.is_expected and name not in kinds and name not in unneeded]
    if missing:
        raise _missing(missing, kinds, expected, where)
    return {
        name: _stored_as(name, kind, _WANTED[expected[name].type], where) if name in expected else kind
        for name, kind in kinds.items()
    }


def _stored_as(column: str, kind: Kind, wanted: Kind, where: str) -> Kind:
    if kind in (Kind.EMPTY, wanted) or (wanted is Kind.INTEGER and kind in _INTEGERS):
        return kind
    if {kind, wanted} <= {Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT}:
        return wanted
    raise DataError(
        f"The column {column!r} is not of the type that the model was trained on.",
        where=where,
        expected=wanted.value,
        seen=kind.value,
        fix="write the column with the type that it has in the training data",
    )


def _missing(missing: list[str], kinds: Mapping[str, Kind], expected: Collection[str], where: str) -> DataError:
    unknown = [name for name in kinds if name not in expected]
    close = {name: difflib.get_close_matches(name, unknown, n=1) for name in missing}
    hints = [f"{found[0]!r} as {name!r}" for name, found in close.items() if found]
    return DataError(
        f"The table lacks what the model was trained on: {', '.join(missing)}.",
        where=where,
        expected=f"{', '.join(missing)} among the columns",
        seen=", ".join(kinds),
        fix=f"rename {', '.join(hints)}" if hints else "add what is missing, empty where it is not known",
    )
