"""How each column is used by a model, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from components.shared.examples.kinds import Kind
from pipeline.profile.columns import DAY, ColumnProfile, as_datetime
from pipeline.profile.table import TableProfile
from pipeline.profile.words import among, listed, name_words, number, of_rows, shortened
from pipeline.training.features import DEFAULT_PARTS

_MOST_MISSING = 0.99
_DISTINCT_IDENTIFIERS = 0.95
_FEWEST_IDENTIFIERS = 10
# Marks between several answers in a cell, and when there are: they stand in enough rows, and what they divide is found again.
_MARKS_BETWEEN, _ROWS_WITH_MARKS, _MOST_ANSWERS, _ROWS_AN_ANSWER = (";", "|", ","), 0.3, 100, 5
# Of so many rows that repeat others each counts once: a row that stands twice does not make its name that of a group.
_MOST_REPEATED = 0.2
# Sentences rather than names: some words each, and seldom the same twice.
_WORDS_OF_TEXT, _DISTINCT_TEXT, _FEWEST_TEXTS = 3.0, 0.2, 20
_ROWS_A_CODE = 5

_PARTS_OVER_YEARS = ("day_of_year", "elapsed")
_YEAR = 365 * DAY
_IDENTIFIER_WORDS = {"id", "ids", "uuid", "guid", "key", "index", "idx", "rownames", "rowid", "serial"}
_LAST_IDENTIFIER_WORDS = {"number", "no", "nr", "num"}
_CODE_WORDS = {
    "id",
    "code",
    "type",
    "class",
    "category",
    "cat",
    "group",
    "zip",
    "zipcode",
    "postcode",
    "region",
    "sector",
    "status",
}
# Seconds since 1970, from 1973 to 2100.
_SECONDS_WORDS, _FIRST_SECOND, _LAST_SECOND = {"timestamp", "epoch", "unixtime", "unix", "ts", "at", "time"}, 1e8, 4.1e9


class Role(str, Enum):
    """What a column is to the model; the values are the words for it."""

    NUMBER = "number"
    CATEGORY = "category"
    TIME = "time"
    TEXT = "text"
    LIST = "list"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    EMPTY = "nearly empty"
    DUPLICATE = "duplicate"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Usage:
    """How a column is used.

    Attributes:
      role: what it is to the model.
      reason: a clause that says why, such as "5,000 different values in 5,000 rows".
      setting: its entry among `features` in the configuration; empty where the default does the same.
    """

    role: Role
    reason: str
    setting: Mapping[str, object]

    @property
    def is_ignored(self) -> bool:
        """Whether the model does without the column."""
        return self.setting.get("kind") == "ignore"


def usages(table: TableProfile, label: str | None) -> dict[str, Usage]:
    """How each column but the label is used, by name.

    Args:
      table: the table.
      label: what is predicted; None where that is not known yet.
    """
    first: dict[int, str] = {}
    if label is not None:
        first[table.columns[label].digest] = label
    found = {}
    for name, column in table.columns.items():
        if name == label:
            continue
        original = first.setdefault(column.digest, name)
        found[name] = _usage(column, None if original == name else original, _distinct_share(column, table))
    for name, types in table.unreadable.items():
        found[name] = Usage(Role.UNREADABLE, f"of the type {shortened(types)}", {"kind": "ignore"})
    return found


def is_seconds(column: ColumnProfile) -> bool:
    """Whether whole numbers are seconds since 1970, by their name and size."""
    return (
        column.kind is Kind.INTEGER
        and not column.is_list
        and bool(_SECONDS_WORDS.intersection(name_words(column.name)))
        and _FIRST_SECOND <= (column.smallest or 0) <= (column.largest or 0) <= _LAST_SECOND
    )


def _distinct_share(column: ColumnProfile, table: TableProfile) -> float:
    """Different values by rows that have one, rows that repeat an earlier one left out where they are few."""
    if table.repeated > _MOST_REPEATED * table.rows:
        return column.distinct_share
    return min(1.0, column.distinct / max(1, column.present - table.repeated))


def _usage(column: ColumnProfile, original: str | None, distinct_share: float) -> Usage:
    ignore = {"kind": "ignore"}
    if not column.present:
        return Usage(Role.EMPTY, "it has no values", ignore)
    if column.distinct == 1 and not column.missing:
        return Usage(Role.CONSTANT, f"{_only(column)} in every row", ignore)
    if original is not None:
        return Usage(Role.DUPLICATE, f"equal to {shortened(original)} in every row", ignore)
    if column.missing >= _MOST_MISSING * column.rows:
        return Usage(Role.EMPTY, f"{of_rows(column.missing, column.rows)} have no value", ignore)
    if column.is_list:
        return Usage(Role.LIST, f"lists of {column.kind.value}", {})
    if column.is_time:
        return _time(column)
    if column.kind is Kind.TEXT:
        return _text(column, distinct_share)
    return _number(column, distinct_share)


def _text(column: ColumnProfile, distinct_share: float) -> Usage:
    # The share falls as a table grows, and so does what it takes to be no category.
    is_varied = distinct_share >= _DISTINCT_TEXT and column.distinct >= _FEWEST_TEXTS
    if is_varied and column.words >= _WORDS_OF_TEXT:
        return Usage(Role.TEXT, f"{column.words:.0f} words a value, {among(column)}", {"kind": "text"})
    if answers := _answers(column):
        return Usage(Role.TEXT, f"several of {answers} answers in a row", {"kind": "text"})
    if distinct_share >= _DISTINCT_IDENTIFIERS and column.present >= _FEWEST_IDENTIFIERS:
        return Usage(Role.IDENTIFIER, among(column), {"kind": "ignore"})
    values = listed(map(str, column.counts)) if column.distinct <= 4 else among(column)
    return Usage(Role.CATEGORY, values, {})


def _answers(column: ColumnProfile) -> int:
    """How many different answers cells with several of them hold, such as `R;SQL` and `SQL;Excel`; 0 where they hold one."""
    for mark in _MARKS_BETWEEN:
        divided = sum(rows for value, rows in column.counts.items() if mark in str(value).strip(mark))
        if divided < _ROWS_WITH_MARKS * column.present:
            continue
        answers = Counter[str]()
        for value, rows in column.counts.items():
            answers.update(dict.fromkeys({part.strip() for part in str(value).split(mark)} - {""}, rows))
        if 1 < len(answers) <= min(_MOST_ANSWERS, column.distinct / 2) and min(answers.values()) >= _ROWS_AN_ANSWER:
            return len(answers)
    return 0


def _number(column: ColumnProfile, distinct_share: float) -> Usage:
    words = name_words(column.name)
    if is_seconds(column):
        return Usage(Role.TIME, "seconds since 1970, by its name and size", _moments(column, 1_000_000))
    if _is_identifier(column, words, distinct_share):
        return Usage(Role.IDENTIFIER, among(column), {"kind": "ignore"})
    if column.kind is Kind.INTEGER and column.distinct > 2 and _CODE_WORDS.intersection(words):
        if column.distinct * _ROWS_A_CODE <= column.present:
            return Usage(Role.CATEGORY, f"codes by their name, {among(column)}", {"kind": "categorical"})
        if "id" in words:
            return Usage(Role.IDENTIFIER, f"by its name, {among(column)}", {"kind": "ignore"})
    if column.kind is Kind.BOOLEAN:
        return Usage(Role.NUMBER, "true or false", {})
    return Usage(Role.NUMBER, f"{number(column.smallest or 0)} to {number(column.largest or 0)}", {})


def _is_identifier(column: ColumnProfile, words: Sequence[str], distinct_share: float) -> bool:
    """Whether a number names its row: a different one in nearly each, by its name or as a count of the rows."""
    is_count = column.is_whole and column.kind in (Kind.INTEGER, Kind.FLOAT)
    if not is_count or distinct_share < _DISTINCT_IDENTIFIERS or column.present < _FEWEST_IDENTIFIERS:
        return False
    extent = (column.largest or 0) - (column.smallest or 0) + 1
    counts_rows = column.is_exact and column.distinct == column.rows == extent and (column.smallest or 0) in (0, 1)
    is_named_so = bool(_IDENTIFIER_WORDS.intersection(words)) or (bool(words) and words[-1] in _LAST_IDENTIFIER_WORDS)
    return is_named_so or (counts_rows and (column.is_ascending or column.is_descending))


def _time(column: ColumnProfile) -> Usage:
    reason = f"{_moment(int(column.smallest or 0))} to {_moment(int(column.largest or 0))}"
    if not column.is_whole:
        return Usage(Role.TIME, reason, _moments(column))
    parts = _parts_of_dates(column)
    if not parts:
        return Usage(Role.NUMBER, f"{reason}, one date a year", {"kind": "numeric"})
    return Usage(Role.TIME, reason, {"kind": "time", "parts": parts})


def _moments(column: ColumnProfile, unit: int = 1) -> dict[str, object]:
    """How times of the day are used, given in a unit of so many microseconds."""
    return {"kind": "time", "parts": [*DEFAULT_PARTS, *_PARTS_OVER_YEARS]} if _returns(column, unit) else {"kind": "time"}


def _parts_of_dates(column: ColumnProfile) -> list[str]:
    """The parts of dates that differ from row to row; none where there is one date a year."""
    over_years = list(_PARTS_OVER_YEARS) if _returns(column) else []
    if not column.counts:
        return ["day_of_week", "day_of_month", *over_years]
    dates = [date for moment in column.counts if (date := as_datetime(int(moment))) is not None]
    if len({(date.month, date.day) for date in dates}) == 1:
        return []
    if len({date.day for date in dates}) == 1:
        return over_years or ["day_of_year"]
    return ["day_of_week", "day_of_month", *over_years]


def _returns(column: ColumnProfile, unit: int = 1) -> bool:
    """Whether each part of the year has returned: before, the time itself and the season cannot be told from each other."""
    return ((column.largest or 0) - (column.smallest or 0)) * unit >= 2 * _YEAR


def _moment(microseconds: int) -> str:
    moment = as_datetime(microseconds)
    if moment is None:
        return f"{microseconds:,} µs"
    return moment.date().isoformat() if microseconds % DAY == 0 else moment.isoformat(sep=" ", timespec="minutes")


def _only(column: ColumnProfile) -> str:
    return shortened(str(next(iter(column.counts))))
