"""Raw rows from text in CSV and JSON, each value in the type that the model takes."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from serving.client.features import ModelFeature

Rows = list[dict[str, Any]]


def read_json(path: Path) -> Rows:
    """The rows of a file of JSON, as in `parse_json`.

    Args:
      path: the file.

    Raises:
      DataError: the file cannot be read, or is not JSON.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            "The file of rows cannot be read.",
            where=str(path),
            expected="a file that this user may read",
            seen=error.strerror or str(error),
        ) from error
    return parse_json(_decode(content, str(path)), str(path))


def parse_text(content: bytes, features: Mapping[str, ModelFeature], where: str) -> Rows:
    """Rows as JSON, if the text begins with a brace or a bracket, otherwise as CSV.

    Args:
      content: text in UTF-8.
      features: the model's features by name.
      where: the rows' source, for messages.

    Raises:
      DataError: the content is neither.
    """
    text = _decode(content, where)
    return parse_json(text, where) if text.lstrip().startswith(("{", "[")) else parse_csv(text, features, where)


def parse_json(text: str, where: str) -> Rows:
    """Reads a row, a list of rows, or a row a line.

    Args:
      text: JSON.
      where: the rows' source, for messages.

    Raises:
      DataError: the text is none of these.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        document = _json_lines(text)
        if not document:
            raise DataError(
                "The rows are not JSON.",
                where=where,
                expected='a row {"carrier": "UA", …}, a list of rows, or a row a line',
                seen=str(error),
                fix="Put names and text into double quotes, and no comma behind the last value.",
            ) from error
    rows = document if isinstance(document, list) else [document]
    wrong = next((number for number, row in enumerate(rows, start=1) if not isinstance(row, dict)), None)
    if wrong is not None:
        raise DataError(
            "A row is not a JSON object.",
            where=f"{where}, row {wrong}",
            expected='values by feature: {"carrier": "UA", …}',
            seen=json.dumps(rows[wrong - 1])[:80],
        )
    return _not_empty(rows, where)


def parse_csv(text: str, features: Mapping[str, ModelFeature], where: str) -> Rows:
    """Comma-separated values with a header; an empty field is a missing value.

    Args:
      text: the content of the file.
      features: the model's features by name; the fields of other columns stay text.
      where: the rows' source, for messages.

    Raises:
      DataError: it is not CSV, or a row does not suit the header.
    """
    if not text.strip():
        return _not_empty([], where)
    records = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: Rows = []
    try:
        names = next(records, [])
        _check_header(names, where)
        for record in records:
            if record and len(record) != len(names):
                raise DataError(
                    "A row has more or fewer fields than the header.",
                    where=f"{where}, line {records.line_num}",
                    expected=f"{len(names)} fields",
                    seen=f"{len(record)} fields: {','.join(record)[:80]}",
                    fix="Correct the row. A field with a comma in it stands in double quotes.",
                )
            if record:
                rows.append({name: _value(field, features.get(name)) for name, field in zip(names, record, strict=True)})
    except csv.Error as error:
        raise DataError(
            "The rows are not CSV.",
            where=f"{where}, line {records.line_num}",
            expected="comma-separated fields, those with commas or quotes in double quotes",
            seen=str(error),
        ) from error
    return _not_empty(rows, where)


def _check_header(names: list[str], where: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not names or "" in names or repeated:
        raise DataError(
            "The header does not name every column once.",
            where=f"{where}, line 1",
            expected="the names of the columns",
            seen=", ".join(name or "(none)" for name in names) or "nothing",
            fix=f"Name {', '.join(repeated)} once." if any(repeated) else "Name every column.",
        )


def _list(field: str) -> Any:
    """A field with a list in JSON; other text stays text, which the feature refuses."""
    try:
        return json.loads(field)
    except ValueError:
        return field


def _value(field: str, feature: ModelFeature | None) -> Any:
    """The value of a field of a CSV file; text that does not suit the feature stays text, which the feature refuses."""
    if field == "":
        return None
    if feature is not None and feature.is_list:
        return _list(field)
    if feature is None or feature.dtype == "DT_STRING":
        return field
    text = field.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    # Python also reads 1_000, which is not a number in a table.
    for number in (int, float) if "_" not in text else ():
        try:
            return number(text)
        except ValueError:
            continue
    return field


def _json_lines(text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return []


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            "The rows are not UTF-8 text.",
            where=f"{where}, line {line}",
            expected="UTF-8",
            seen=f"the byte 0x{content[error.start]:02x}",
            fix="Convert the file, for example with: iconv -f LATIN1 -t UTF-8",
        ) from error


def _not_empty(rows: Rows, where: str) -> Rows:
    if not rows:
        raise DataError("There are no rows.", where=where, expected="at least one row", seen="0 rows")
    return rows
