"""The requirements on a label: a column that is there, has a value in every row, varies, is text, and has no unknown class.

ExampleGen, ExampleValidator and Trainer each check them as soon as they can: by the columns, the statistics and the values.
"""

from __future__ import annotations

from collections.abc import Collection

from pipeline.errors import DataError
from pipeline.util.suggestions import did_you_mean

DROP_UNLABELLED = "Set data.unlabelled: drop, which leaves the rows out whose label is not known."
"""What to do about rows without a label."""


def require_column(label: str, columns: Collection[str], where: str) -> None:
    """Checks that the label is among the columns.

    Args:
      label: the column that the model learns to predict.
      columns: the columns of the data.
      where: the files or the split, for the message.

    Raises:
      DataError: it is not.
    """
    if label not in columns:
        raise DataError(
            f"The label {label!r} is not in the data. {did_you_mean(label, columns)}".rstrip(),
            where=where,
            expected=f"a column {label!r}",
            seen=", ".join(columns),
            fix="Correct `label` in the configuration, or add the column to the data.",
        )


def require_values(label: str, num_missing: int, num_rows: int, where: str) -> None:
    """Checks that there are rows, and that each has a label.

    Args:
      label: the label's name.
      num_missing: the number of rows without a label.
      num_rows: the number of all rows.
      where: the split, for the message.

    Raises:
      DataError: there is no row, or one has no label.
    """
    if num_missing or not num_rows:
        is_some = num_missing < num_rows
        raise DataError(
            f"The label {label!r} is missing" + (" in some rows." if is_some else "."),
            where=where,
            expected="rows with a label each",
            seen=f"{num_missing:,} of {num_rows:,} rows without a label",
            fix=DROP_UNLABELLED if is_some else "Add the labels, or select other rows by data.input and data.newest_span.",
        )


def require_variety(label: str, values: Collection[object], where: str) -> None:
    """Checks that there is something to learn.

    Args:
      label: the label's name.
      values: some of its different values, two where there are more.
      where: the split, for the message.

    Raises:
      DataError: there is a single value.
    """
    if len(values) < 2:
        raise DataError(
            f"The label {label!r} has a single value: there is nothing to learn.",
            where=where,
            expected="at least two different values",
            seen=", ".join(f"{value} in every row" for value in values),
            fix="Check how the label is made, or add rows with another value.",
        )


def require_text(label: str, wrong: str | None, where: str) -> None:
    """Checks that a label of bytes is text, as answers and reports show it.

    Args:
      label: the label's name.
      wrong: a value that is not UTF-8, in words; None where there is none.
      where: the split, for the message.

    Raises:
      DataError: a value is not UTF-8.
    """
    if wrong is not None:
        raise DataError(
            f"The label {label!r} has a value that is not text.",
            where=where,
            expected="text in UTF-8, or whole numbers",
            seen=wrong,
            fix="Write the label as text in UTF-8, for instance in hexadecimal digits, or as whole numbers.",
        )


def require_known_classes(label: str, unknown: Collection[object], where: str) -> None:
    """Checks that a model could learn all classes that it is evaluated on.

    Args:
      label: the label's name.
      unknown: the values that no row of the training data has.
      where: the rows that have them, for the message.

    Raises:
      DataError: there is such a value.
    """
    if unknown:
        shown = [repr(value) for value in unknown][:5]
        raise DataError(
            f"The label {label!r} has a value that the model does not know.",
            where=where,
            expected="values that are in the training data",
            seen=", ".join(shown) + f" and {len(unknown) - len(shown)} more" * (len(unknown) > len(shown)),
            fix="Set `data.split: {method: hash, stratify: true}`, which gives each class its share of the training data, or "
            "leave the rows with this value out.",
        )
