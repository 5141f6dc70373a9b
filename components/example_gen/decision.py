"""What a column is read as, once all of its values have been seen.

The configuration goes first (`data.columns`), then the schema, then the kind of the feature, then the values. All values of
all files together decide, and each form of text counts the same wherever it stands, so neither the cut into files nor the
order of rows changes a type.

| values in text                                                    | read as                                   |
| ----------------------------------------------------------------- | ----------------------------------------- |
| true, false                                                       | booleans                                  |
| whole numbers that fit into 64 bits; with true and false as 1, 0  | integers                                  |
| numbers, some with a decimal mark, an exponent, or infinite       | floats                                    |
| the same, and whole numbers beyond 2^53, of which they lose digits | text                                     |
| dates and times in one of the orders of `text.times`              | times; UTC where some have a zone         |
| digits that no number is written with: 007, +4915112345678        | text, and with them the whole column      |
| anything else                                                     | text                                      |
| words for null                                                    | null beside numbers and times, else text  |
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from components.example_gen.columns import FileSummary
from components.example_gen.evidence import Evidence
from components.example_gen.rules import ColumnRules
from components.example_gen.text.forms import Form
from components.shared.examples.kinds import Kind
from pipeline.errors import DataError
from pipeline.util.yaml_text import in_yaml

_WHOLE = {Form.WHOLE, Form.LONG, Form.LONGER}
_NUMBERS = {*_WHOLE, Form.FRACTION, Form.INFINITE}
_NUMBERS_IN_CODE = {*_NUMBERS, Form.TRUTH, Form.CODE}
_READABLE_AS_NUMBERS = {*_NUMBERS_IN_CODE, Form.AMOUNT}
_ORDERED = {Form.DAY_FIRST, Form.MONTH_FIRST, Form.EITHER_ORDER}
_TIMES = {Form.TIME, Form.ZONED_TIME, *_ORDERED}
_INTEGERS = (Kind.BOOLEAN, Kind.INTEGER, Kind.TIME, Kind.ZONED_TIME)
_TYPES = {"text": Kind.TEXT, "integer": Kind.INTEGER, "float": Kind.FLOAT, "boolean": Kind.BOOLEAN, "time": Kind.TIME}
_SCHEMA_KINDS = {"bytes": Kind.TEXT, "int": Kind.INTEGER, "float": Kind.FLOAT}
_AS_IN_TRAINING = "Write the column with the type that it has in the training data."
_FEW = 0.1
# With a year of two digits, or with a word that is no English month.
_UNREAD_DATE = re.compile(
    r"(\d{1,2}([./-])\d{1,2}\2\d{2}|(?:[^\W\d]+\.?,? )?\d{1,2}[. -]{1,2}[^\W\d]{3,10}\.?[ -]\d{2,4})([ T]\d{1,2}:\d{2}.*)?"
)

# The kinds of columns with a type that the configuration can have read as another.
_READABLE_AS = {
    Kind.TEXT: frozenset(Kind),
    Kind.INTEGER: frozenset([Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.TEXT]),
    Kind.FLOAT: frozenset([Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.TEXT]),
    Kind.BOOLEAN: frozenset([Kind.BOOLEAN, Kind.TEXT]),
    Kind.TIME: frozenset([Kind.TIME, Kind.ZONED_TIME, Kind.TEXT]),
}

# Kinds that files may mix in one column, each list from the narrowest to the one that includes them all.
_FAMILIES = (
    [Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT],
    [Kind.TIME, Kind.ZONED_TIME],
    # An integer is written as text in one way only.
    [Kind.INTEGER, Kind.TEXT],
)


@dataclass(frozen=True)
class Decision:
    """What a column is read as.

    Attributes:
      kind: the kind of its values.
      day_first: of times, whether the day goes before the month where both are numbers; None where no value leaves that open.
      choice: what is worth telling about it, as a sentence; empty where nothing is.
      amount: of text that is all numbers and amounts, one of the amounts; otherwise empty.
    """

    kind: Kind
    day_first: bool | None = None
    choice: str = ""
    amount: str = ""


def decide(files: Sequence[FileSummary], rules: ColumnRules) -> dict[str, Decision]:
    """Decides on all columns of a table together, since one may tell the order of day and month for another.

    Args:
      files: the table's files; at least one.
      rules: what is known besides.

    Raises:
      DataError: a type that a tf.Example cannot hold, types that have nothing in common, a column that does not fit the
        model's schema, or dates whose order of day and month cannot be told.
    """
    columns: dict[str, Evidence] = {}
    for file in files:
        for name, seen in file.columns.items():
            if name not in rules.ignored:
                columns[name] = columns[name] + seen if name in columns else seen
    table_order = _order_of(columns.values())
    return {name: _Column(name, evidence, files, rules).decide(table_order) for name, evidence in columns.items()}


@dataclass(frozen=True)
class _Column:
    """A column, and what is known of it."""

    name: str
    evidence: Evidence
    files: Sequence[FileSummary]
    rules: ColumnRules

    def decide(self, table_order: bool | None) -> Decision:
        """The decision, given the order of day and month in the table's other columns."""
        evidence, rules = self.evidence, self.rules
        if evidence.types:
            raise self._unsupported()
        if self.name in rules.types:
            return self._as_set(_TYPES[rules.types[self.name]], table_order)
        natural = self._natural_kind()
        if natural is Kind.EMPTY and not evidence.forms:
            return Decision(natural)
        if self.name in rules.schema_types:
            wanted = _SCHEMA_KINDS[rules.schema_types[self.name]]
            if _fits(evidence, natural, wanted):
                is_as_seen = wanted is Kind.INTEGER and natural in _INTEGERS
                return self._as_seen(natural, table_order) if is_as_seen else Decision(wanted)
            if rules.is_model and natural is not Kind.EMPTY:
                raise self._not_of_the_model(natural, wanted)
        feature = rules.features.get(self.name)
        if feature in ("categorical", "text") and evidence.forms and natural not in (Kind.BOOLEAN, Kind.INTEGER, Kind.EMPTY):
            return Decision(Kind.TEXT)
        if feature == "numeric" and natural is Kind.TEXT and _fits(evidence, natural, Kind.FLOAT):
            has_floats = evidence.forms.keys() & {Form.FRACTION, Form.INFINITE, Form.AMOUNT}
            return Decision(Kind.FLOAT if has_floats else Kind.INTEGER)
        return self._as_seen(natural, table_order)

    def _as_set(self, kind: Kind, table_order: bool | None) -> Decision:
        others = self.evidence.kinds - _READABLE_AS[kind]
        if others:
            raise self._not_readable(kind, min(others))
        return self._times(table_order) if kind is Kind.TIME else Decision(kind)

    def _as_seen(self, kind: Kind, table_order: bool | None) -> Decision:
        if kind in (Kind.TIME, Kind.ZONED_TIME) and self.evidence.forms:
            return self._times(table_order)
        amount = _amount(self.evidence) if kind is Kind.TEXT else ""
        return Decision(kind, choice=_choice(self.name, kind, self.evidence), amount=amount)

    def _times(self, table_order: bool | None) -> Decision:
        evidence = self.evidence
        kind = Kind.ZONED_TIME if Form.ZONED_TIME in evidence.forms or Kind.ZONED_TIME in evidence.kinds else Kind.TIME
        choice = _choice(self.name, kind, evidence)
        if self.rules.dates is not None:
            return Decision(kind, self.rules.dates == "day_first", choice)
        ordered = evidence.forms.keys() & _ORDERED
        if not ordered:
            return Decision(kind, choice=choice)
        order = _order_of([evidence])
        day_first = table_order if order is None else order
        if day_first is None:
            raise self._ambiguous()
        example = evidence.forms[min(ordered, key=list(Form).index)].example
        order_name = "day" if day_first else "month"
        told = (
            f"{self.name!r} is read with the {order_name} first: {example}. "
            f"To have it so in every file: data.dates: {order_name}_first."
        )
        return Decision(kind, day_first, f"{told} {choice}".rstrip())

    def _natural_kind(self) -> Kind:
        """The kind that the values alone suggest."""
        kinds = set(self.evidence.kinds)
        if forms := self.evidence.forms.keys() - {Form.NULL}:
            kinds.add(_kind_of_forms(forms))
        if not kinds:
            return Kind.EMPTY
        family = next((family for family in _FAMILIES if kinds <= set(family)), None)
        if family is None:
            raise self._disagreement()
        return max(kinds, key=family.index)

    @property
    def _is_of_model(self) -> bool:
        """Whether a model wants the column with its type."""
        return self.rules.is_of_model(self.name)

    def _fix(self, otherwise: str) -> str:
        """How to correct the column; what would have it read in another way is none where a model wants its type."""
        return _AS_IN_TRAINING if self._is_of_model else otherwise

    def _file(self, shows: Callable[[Evidence], object]) -> str:
        """The first file in which the column shows something."""
        return next(file.path for file in self.files if self.name in file.columns and shows(file.columns[self.name]))

    def _unsupported(self) -> DataError:
        return DataError(
            f"The column {self.name!r} has a type that a tf.Example cannot hold.",
            where=self._file(lambda seen: seen.types),
            expected="integers, booleans, floats, decimals, strings, binary, dates, timestamps, or lists of one of these",
            seen=", ".join(sorted(self.evidence.types)),
            fix=self._fix(
                f"Set features: {{{in_yaml(self.name)}: {{kind: ignore}}}}, or write its parts as columns of their own."
            ),
        )

    def _disagreement(self) -> DataError:
        by_kind: dict[Kind, list[str]] = defaultdict(list)
        for file in self.files:
            for kind in file.columns[self.name].kinds if self.name in file.columns else ():
                by_kind[kind].append(file.path)
        most_first = sorted(by_kind.items(), key=lambda item: -len(item[1]))
        return DataError(
            f"The type of the column {self.name!r} differs from file to file.",
            where=most_first[-1][1][0],
            expected=f"{most_first[0][0].value}, as in most files",
            seen="; ".join(
                f"{kind.value} in {os.path.basename(paths[0])}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
                for kind, paths in most_first
            ),
            fix=self._fix(f"Set data.columns: {{{in_yaml(self.name)}: text}}, or write the column with one type in all files."),
        )

    def _not_readable(self, kind: Kind, other: Kind) -> DataError:
        return DataError(
            f"The column {self.name!r} cannot be read as {kind.value}.",
            where=self._file(lambda seen: other in seen.kinds),
            expected=", ".join(sorted(each.value for each in _READABLE_AS[kind])),
            seen=other.value,
            fix=self._fix(f"Set data.columns: {{{in_yaml(self.name)}: text}}, or remove the column from data.columns."),
        )

    def _not_of_the_model(self, natural: Kind, wanted: Kind) -> DataError:
        wrong = self.evidence.forms.keys() - _READABLE_AS_NUMBERS - {Form.NULL}
        examples = [self.evidence.forms[form].example for form in wrong if self.evidence.forms[form].example]
        return DataError(
            f"The column {self.name!r} is not of the type that the model was trained on.",
            where=self._file(lambda seen: seen.forms.keys() & wrong or seen.kinds),
            expected=wanted.value,
            seen=natural.value + (f": {min(examples)!r}" if examples else ""),
            fix=_AS_IN_TRAINING,
        )

    def _ambiguous(self) -> DataError:
        return DataError(
            f"The dates in the column {self.name!r} can be read with the day first or the month first.",
            where=self._file(lambda seen: Form.EITHER_ORDER in seen.forms),
            expected="a day above 12 in some row, or the order in the configuration",
            seen=self.evidence.forms[Form.EITHER_ORDER].example,
            fix="Set data.dates: day_first, or data.dates: month_first"
            + ("." if self._is_of_model else f"; or keep the text with data.columns: {{{in_yaml(self.name)}: text}}."),
        )


def _kind_of_forms(forms: Iterable[Form]) -> Kind:
    forms = set(forms)
    if forms == {Form.TRUTH}:
        return Kind.BOOLEAN
    if forms <= {*_WHOLE, Form.TRUTH}:
        return Kind.INTEGER
    if forms <= {*_NUMBERS, Form.TRUTH} - {Form.LONGER}:
        return Kind.FLOAT
    if forms <= _TIMES and not {Form.DAY_FIRST, Form.MONTH_FIRST} <= forms:
        return Kind.ZONED_TIME if Form.ZONED_TIME in forms else Kind.TIME
    return Kind.TEXT


def _fits(evidence: Evidence, natural: Kind, wanted: Kind) -> bool:
    """Whether the values may be of the kind that a schema or a feature wants; each of them decides when it is read."""
    if wanted is Kind.TEXT:
        return natural in (Kind.TEXT, Kind.INTEGER) or not evidence.kinds
    if wanted is Kind.INTEGER and natural in _INTEGERS:
        return True
    if evidence.forms and evidence.forms.keys() - {Form.NULL} <= _READABLE_AS_NUMBERS:
        return True
    return natural in (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT)


def _order_of(columns: Iterable[Evidence]) -> bool | None:
    """Whether the day goes before the month; None where that is not told, or told both ways."""
    orders = set()
    for evidence in columns:
        forms = evidence.forms.keys() - {Form.NULL}
        if forms <= _TIMES:
            orders |= forms & {Form.DAY_FIRST, Form.MONTH_FIRST}
    return orders == {Form.DAY_FIRST} if len(orders) == 1 else None


def _choice(name: str, kind: Kind, evidence: Evidence) -> str:
    """What was chosen for a person who may have meant something else."""
    forms = evidence.forms
    told = []
    if kind not in (Kind.TEXT, Kind.EMPTY) and Form.NULL in forms and forms[Form.NULL].example.strip():
        seen = forms[Form.NULL]
        rows = f"{seen.count:,} row{'s' * (seen.count > 1)}"
        told.append(f"{name!r} has no value where it says {seen.example!r} or the like ({rows}).")
    if kind in (Kind.INTEGER, Kind.FLOAT) and Form.TRUTH in forms:
        told.append(
            f"{name!r} has numbers beside true and false, which are read as 1 and 0. "
            f"To keep the text: data.columns: {{{in_yaml(name)}: text}}."
        )
    if kind is Kind.FLOAT and Form.LONG in forms:
        told.append(f"{name!r} has {forms[Form.LONG].example} among floats, which keep about seven digits.")
    if kind is Kind.ZONED_TIME and forms.keys() & (_TIMES - {Form.ZONED_TIME}):
        told.append(f"{name!r} has times with and without a zone: those without are taken for UTC.")
    if kind is Kind.TEXT and forms:
        told.append(_why_text(name, evidence))
    elif kind is Kind.TEXT and Kind.INTEGER in evidence.kinds:
        told.append(f"{name!r} is text, since some files have text in it and others integers.")
    return " ".join(filter(None, told))


def _amount(evidence: Evidence) -> str:
    """One of the amounts, where all values are numbers or amounts; otherwise nothing."""
    forms = evidence.forms.keys() - {Form.NULL}
    return evidence.forms[Form.AMOUNT].example if Form.AMOUNT in forms and forms <= {*_NUMBERS, Form.AMOUNT} else ""


def _why_text(name: str, evidence: Evidence) -> str:
    forms = {form: seen for form, seen in evidence.forms.items() if form is not Form.NULL}
    total = sum(seen.count for seen in forms.values())
    if Form.CODE in forms and forms.keys() <= _NUMBERS_IN_CODE:
        return (
            f"{name!r} is text, since {forms[Form.CODE].example} is not how a number is written. "
            f"To read numbers: data.columns: {{{in_yaml(name)}: integer}}."
        )
    if Form.LONGER in forms and forms.keys() <= _NUMBERS:
        return f"{name!r} is text, since a float would not keep all digits of {forms[Form.LONGER].example}."
    if {Form.DAY_FIRST, Form.MONTH_FIRST} <= forms.keys() and forms.keys() <= _TIMES:
        day, month = forms[Form.DAY_FIRST].example, forms[Form.MONTH_FIRST].example
        return f"{name!r} is text, since {day} has the day first and {month} the month."
    examples = [forms[form].example for form in (Form.AMOUNT, Form.TEXT) if form in forms]
    if date := next(filter(_UNREAD_DATE.fullmatch, examples), None):
        return f"{name!r} is text, with values such as {date!r}. To have times, write them with the year first: 2024-01-31."
    if amount := _amount(evidence):
        return f"{name!r} is text, with values such as {amount!r}. To have numbers: data.columns: {{{in_yaml(name)}: float}}."
    for kinds, are in (({*_NUMBERS, Form.AMOUNT}, "numbers"), (_TIMES, "times")):
        others = {form: seen for form, seen in forms.items() if form not in kinds}
        count = sum(seen.count for seen in others.values())
        if others and count <= _FEW * total:
            example = min((seen.example for seen in others.values() if seen.example), default="")
            shown = f": {example!r}" if example else ""
            told = f"{name!r} is text, since {count:,} of its {total:,} values are no {are}{shown}."
            if set(others) == {Form.TEXT} and are == "numbers":
                told += f" If it stands for no value, in delimited text: data.csv.nulls: [{in_yaml(example)}]."
            return told
    return ""
