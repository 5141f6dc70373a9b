"""The columns of files, and the requirements on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from components.example_gen.evidence import Evidence
from components.shared.examples.kinds import Kind
from pipeline.contracts.label import require_column
from pipeline.contracts.schema import Schema
from pipeline.errors import DataError
from pipeline.util.suggestions import closest


@dataclass(frozen=True)
class FileSummary:
    """The rows and columns of a file.

    Attributes:
      path: the file.
      rows: how many it has.
      columns: what has been seen of each of its columns, in order.
    """

    path: str
    rows: int
    columns: dict[str, Evidence]


def check_columns(path: str, names: Sequence[str]) -> None:
    """Checks that every column has a name of its own, which may be any text but NUL, where names end in C.

    Raises:
      DataError: two columns have one name, or one has none, or NUL in it.
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if broken := [name for name in names if "\0" in name]:
        raise DataError(
            "The name of a column has the character NUL in it.",
            where=path,
            expected="any text without NUL",
            seen=", ".join(map(repr, broken)),
            fix=f"Rename the column, for instance to {broken[0].replace(chr(0), '_')!r}.",
        )
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
        raise no_labels(label, where)


def no_labels(label: str, where: str) -> DataError:
    """The error that no row has a label.

    Args:
      label: the column's name.
      where: the input pattern.
    """
    return DataError(
        f"The label {label!r} has no values.",
        where=where,
        expected="a value in at least some rows",
        seen="no value in any row",
        fix="Check how the column is made, or name another as `label` in the configuration.",
    )


def require_columns(columns: Collection[str], schema: Schema, unneeded: Collection[str], where: str) -> None:
    """Checks that the columns are there that a model was trained on.

    Args:
      columns: the table's.
      schema: the schema of the data that the model was trained on.
      unneeded: columns of the schema that the table may lack: the label, and what the model ignores.
      where: the input pattern, for the message.

    Raises:
      DataError: one is missing.
    """
    expected = {feature.name: feature for feature in schema.features if not feature.is_deprecated}
    missing = [
        name for name, feature in expected.items() if feature.is_expected and name not in columns and name not in unneeded
    ]
    if missing:
        raise _missing(missing, columns, expected, where)


def _missing(missing: list[str], columns: Collection[str], expected: Collection[str], where: str) -> DataError:
    unknown = [name for name in columns if name not in expected]
    hints = [f"{found!r} to {name!r}" for name in missing if (found := closest(name, unknown)) is not None]
    return DataError(
        f"The table lacks columns that the model was trained on: {', '.join(missing)}.",
        where=where,
        expected=f"{', '.join(missing)} among the columns",
        seen=", ".join(columns),
        fix=f"Rename {', '.join(hints)}." if hints else "Add the missing columns, empty where values are not known.",
    )
