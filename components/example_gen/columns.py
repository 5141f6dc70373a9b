"""The columns of a table: checked, reconciled where files differ, and stored as a model expects them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from components.shared.examples.kinds import Kind
from pipeline.contracts.label import require_column
from pipeline.contracts.schema import Schema
from pipeline.errors import DataError
from pipeline.util.suggestions import closest

_INTEGERS = (Kind.BOOLEAN, Kind.INTEGER, Kind.TIME, Kind.ZONED_TIME)
_WANTED = {"float": Kind.FLOAT, "int": Kind.INTEGER, "bytes": Kind.TEXT}

# Kinds that files may mix in one column, each list from the narrowest to the one that includes them all.
_FAMILIES = ([Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT], [Kind.TIME, Kind.ZONED_TIME], [Kind.TEXT])


@dataclass(frozen=True)
class FileSummary:
    """The rows and columns of a file.

    Attributes:
      path: the file.
      rows: how many it has.
      kinds: the kind of values in each of its columns, in order.
      lists: the columns of which a row may have several values.
    """

    path: str
    rows: int
    kinds: dict[str, Kind]
    lists: frozenset[str] = frozenset()

    def without(self, columns: Collection[str]) -> FileSummary:
        """The same file as if it had no such columns."""
        kinds = {name: kind for name, kind in self.kinds.items() if name not in columns}
        return FileSummary(self.path, self.rows, kinds, self.lists.difference(columns))


def check_columns(path: str, names: Sequence[str]) -> None:
    """Checks that every column has a name of its own.

    Raises:
      DataError: two columns have one name, or one has none.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if "" in names:
        raise DataError(
            "A column has no name.",
            where=f"{path}, column {list(names).index('') + 1}",
            expected="a name for every column",
            seen=", ".join(name or "(none)" for name in names),
            fix="Name the column, or leave it out (with pandas: to_csv(..., index=False)).",
        )
    if repeated:
        raise DataError(
            "Several columns have the same name.",
            where=path,
            expected="a name of its own for every column",
            seen=", ".join(f"{name} ({names.count(name)} times)" for name in repeated),
            fix="Rename or remove the repeated columns.",
        )


def reconcile(files: Sequence[FileSummary]) -> dict[str, Kind]:
    """The columns of the table that the files form together. Integers widen to floats; an absent column is null.

    Raises:
      DataError: the types of a column differ between files.
    """
    kinds: dict[str, set[Kind]] = defaultdict(set)
    for file in files:
        for name, kind in file.kinds.items():
            kinds[name].add(kind)
    return {name: _common(name, found - {Kind.EMPTY}, files) for name, found in kinds.items()}


def require_label(label: str, columns: Mapping[str, Kind], where: str) -> None:
    """Checks that there is a label to learn from.

    Args:
      label: the column's name.
      columns: the table's columns.
      where: the input pattern, for the message.

    Raises:
      DataError: no file has such a column, or it has no values.
    """
    require_column(label, columns, where)
    if columns[label] is Kind.EMPTY:
        raise DataError(
            f"The label {label!r} has no values.",
            where=where,
            expected="a value in at least some rows",
            seen="nulls only",
            fix="Check how the column is made, or name another as `label` in the configuration.",
        )


def conform(kinds: Mapping[str, Kind], schema: Schema, unneeded: Collection[str], where: str) -> dict[str, Kind]:
    """The kinds to store columns as, so that the model finds the types that it was trained on.

    A column with floats in one table may have nothing but integers in the next, and the other way round; its values decide
    whether they fit.

    Args:
      kinds: the kind of values in each column of the table.
      schema: the schema of the data that the model was trained on.
      unneeded: columns of the schema that the table may lack: the label, and what the model ignores.
      where: the input pattern, for the message.

    Raises:
      DataError: a column that the schema expects is missing, or its values cannot be stored with the type in the schema.
    """
    expected = {feature.name: feature for feature in schema.features if not feature.is_deprecated}
    missing = [name for name, feature in expected.items() if feature.is_expected and name not in kinds and name not in unneeded]
    if missing:
        raise _missing(missing, kinds, expected, where)
    return {
        name: _stored_as(name, kind, _WANTED[expected[name].type], where) if name in expected else kind
        for name, kind in kinds.items()
    }


def _common(column: str, kinds: set[Kind], files: Sequence[FileSummary]) -> Kind:
    if not kinds:
        return Kind.EMPTY
    family = next((family for family in _FAMILIES if kinds <= set(family)), None)
    if family is None:
        raise _disagreement(column, files)
    return max(kinds, key=family.index)


def _disagreement(column: str, files: Sequence[FileSummary]) -> DataError:
    by_kind: dict[Kind, list[str]] = defaultdict(list)
    for file in files:
        if file.kinds.get(column, Kind.EMPTY) is not Kind.EMPTY:
            by_kind[file.kinds[column]].append(os.path.basename(file.path))
    most_first = sorted(by_kind.items(), key=lambda item: -len(item[1]))
    seen = "; ".join(
        f"{kind.value} in {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "") for kind, names in most_first
    )
    rarest = next(file for file in files if file.kinds.get(column) is most_first[-1][0])
    return DataError(
        f"The type of the column {column!r} differs from file to file.",
        where=rarest.path,
        expected=f"{most_first[0][0].value}, as in most files",
        seen=seen,
        fix="Write the column with one type in all files.",
    )


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
        fix="Write the column with the type that it has in the training data.",
    )


def _missing(missing: list[str], kinds: Mapping[str, Kind], expected: Collection[str], where: str) -> DataError:
    unknown = [name for name in kinds if name not in expected]
    hints = [f"{found!r} to {name!r}" for name in missing if (found := closest(name, unknown)) is not None]
    return DataError(
        f"The table lacks columns that the model was trained on: {', '.join(missing)}.",
        where=where,
        expected=f"{', '.join(missing)} among the columns",
        seen=", ".join(kinds),
        fix=f"Rename {', '.join(hints)}." if hints else "Add the missing columns, empty where values are not known.",
    )
