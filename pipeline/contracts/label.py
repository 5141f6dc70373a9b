"""The requirements on a label: a column that is there, has a value in every row, varies, is text, and has no unknown class.

ExampleGen, ExampleValidator and Trainer each check them as soon as they can: by the columns, the statistics and the values.
Which of two classes is positive is decided here too, for `conveyor init` and for Trainer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.errors import ConfigError, DataError
from pipeline.util.suggestions import closest, did_you_mean
from pipeline.util.yaml_text import in_yaml

_MOST_GROUPS = 5
# Two classes that are about as frequent would change places with the data, and with them what a score means.
_RARE = 0.4
_ONE_WAY = "Write them in one way in the data if they do."

DROP_UNLABELLED = "Set data.unlabelled: drop, which leaves the rows out whose label is not known."
"""What to do about rows without a label."""


TRUTHS = {**dict.fromkeys(("true", "t", "yes", "y", "1"), True), **dict.fromkeys(("false", "f", "no", "n", "0"), False)}
"""What words for truth values mean, in lower case. `data.columns: {x: boolean}` reads them."""

# Words for yes and no in further languages, with the marks that are often left out also without them.
_YES_AND_NO = {
    *(("ja", "nein"), ("ja", "nee"), ("ja", "nej"), ("ja", "nei"), ("oui", "non"), ("si", "no"), ("sí", "no"), ("sì", "no")),
    *(("sim", "não"), ("sim", "nao"), ("tak", "nie"), ("ano", "ne"), ("áno", "nie"), ("da", "nu"), ("da", "ne"), ("да", "нет")),
    *(("так", "ні"), ("evet", "hayir"), ("igen", "nem"), ("kyllä", "ei"), ("ya", "tidak"), ("有", "无"), ("有", "無")),
    *(("是", "否"), ("はい", "いいえ"), ("예", "아니요"), ("예", "아니오"), ("نعم", "لا"), ("כן", "לא")),
}
_NEGATED = re.compile(r"(?:no|not|non|without)[ _-]|non")


def are_truths(classes: Collection[str]) -> bool:
    """Whether all classes are words for true and false, both of which occur."""
    return {_truth(each) for each in classes} == {True, False}


def alike(classes: Collection[str]) -> list[list[str]]:
    """The classes that may mean the same: those that differ in case and spaces only, and words for one truth value.

    Args:
      classes: the different values of a label of text. Words such as `y` and `true` count as the same only where there are no
        other classes, since `y` may stand for yellow.

    Returns:
      Groups of at least two classes each, in the order of the alphabet.
    """
    meaning = _truth if are_truths(classes) else _plain
    groups: dict[object, list[str]] = defaultdict(list)
    for each in sorted(classes):
        groups[meaning(each)].append(each)
    return [group for group in groups.values() if len(group) > 1]


def remark_on(label: str, classes: Collection[str]) -> str:
    """What to know of classes that may mean the same, with the remedy; empty where none do.

    Args:
      label: the label's name.
      classes: its different values, all of which are text.
    """
    groups = alike(classes)
    if not groups:
        return ""
    shown = "; ".join(", ".join(map(repr, group)) for group in groups[:_MOST_GROUPS])
    more = f" and {len(groups) - _MOST_GROUPS} more" if len(groups) > _MOST_GROUPS else ""
    return (
        f"The label {label!r} has classes that may mean the same and are learnt apart: {shown}{more}. "
        f"{remedy_for(label, classes) or _ONE_WAY}"
    )


def remedy_for(label: str, classes: Collection[str]) -> str:
    """What makes two classes of more that are text; empty where they mean more than two things."""
    if are_truths(classes):
        return f"To read them as true and false, set data.columns: {{{in_yaml(label)}: boolean}}."
    return _ONE_WAY if len({_plain(each) for each in classes}) == 2 else ""


def _truth(word: str) -> bool | None:
    return TRUTHS.get(word.strip().lower())


def _plain(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


@dataclass(frozen=True)
class ClassOrder:
    """Two classes.

    Attributes:
      negative: the first.
      positive: the second: a score is its probability.
      reason: why it is positive.
    """

    negative: str | int
    positive: str | int
    reason: str


def in_order(label: str, counts: Mapping[str | int, int], positive: str | int | None = None) -> ClassOrder:
    """Which of two classes is positive.

    Args:
      label: the label's name.
      counts: the rows of either class.
      positive: the class that the configuration names; a truth value stands for a word or a number that means it.

    Returns:
      The class that is named; otherwise the larger number, the word for true or yes, the class that the other one negates, as
      `smoker` beside `non-smoker`, the class that at most 40 % of the rows have, or else the last in the alphabet.

    Raises:
      ConfigError: the class that is named is not one of the two.
    """
    first, last = sorted(counts)
    if positive is not None:
        named = [each for each in (first, last) if str(each) == str(positive)]
        if isinstance(positive, bool):
            named = named or [each for each in (first, last) if _truth(str(each)) is positive]
        if not named:
            meant = closest(str(positive), [str(first), str(last)]) or str(last)
            raise ConfigError(
                f"The label {label!r} has no class {positive!r}.",
                where="positive_class",
                expected=f"{first!r} or {last!r}",
                seen=repr(positive),
                fix=f"Set positive_class: {in_yaml(meant)}",
            )
        return ClassOrder(last if named[0] == first else first, named[0], "as configured")
    if isinstance(first, int):
        return ClassOrder(first, last, "the larger number")
    texts = [str(first), str(last)]
    if are_truths(texts):
        false, true = sorted(texts, key=lambda each: _truth(each) is True)
        return ClassOrder(false, true, "the word for true")
    for yes, no in (texts, texts[::-1]):
        if (_plain(yes), _plain(no)) in _YES_AND_NO:
            return ClassOrder(no, yes, "the word for yes")
        if (negation := _NEGATED.match(_plain(no))) and _plain(no)[negation.end() :] == _plain(yes):
            return ClassOrder(no, yes, "which the other one negates")
    rare, frequent = sorted(texts, key=counts.__getitem__)
    if counts[rare] <= _RARE * sum(counts.values()):
        return ClassOrder(frequent, rare, "the rarer one")
    return ClassOrder(first, last, "the last in the alphabet, as both are frequent")


def require_weighed_classes(label: str, weighed: Collection[str], classes: Collection[str]) -> None:
    """Checks that the label has the classes that are weighed.

    Args:
      label: the label's name.
      weighed: the classes in the configuration.
      classes: the label's classes.

    Raises:
      ConfigError: one is none of them.
    """
    for name in weighed:
        if name not in classes:
            raise ConfigError(
                f"The label {label!r} has no class {name!r}.",
                where=f"training.class_weights.{name}",
                expected=f"one of {', '.join(classes)}",
                seen=name,
                fix=did_you_mean(name, classes) or "Name a class of the label, or remove the entry.",
            )


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
