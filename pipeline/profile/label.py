"""The label: whether a column can be predicted, and which are likely."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from components.shared.examples.kinds import Kind
from pipeline.config.training import Task
from pipeline.contracts.label import alike, are_truths
from pipeline.errors import UsageError
from pipeline.profile.columns import MOST_COUNTED, ColumnProfile
from pipeline.profile.table import TableProfile
from pipeline.profile.task import decide, suits
from pipeline.profile.usage import usages
from pipeline.profile.words import among, listed, name_words, quoted, rows, shortened
from pipeline.util.suggestions import closest, did_you_mean

_MOST_SHARE_OF_NAMES = 0.5
_MOST_CANDIDATES = 8
_SHORTEST_WORD, _RARE_SHARE, _MOST_MISTYPED = 5, 0.1, 5

# How the column that is to be predicted is often called, the most telling names first.
_TELLING = (
    {"label", "target", "class", "y", "outcome", "response"},
    {"churn", "churned", "default", "fraud", "survived", "converted", "clicked", "late"},
    {"price", "sales", "species", "quality"},
)


def likely_labels(table: TableProfile) -> list[ColumnProfile]:
    """The columns that can be predicted.

    First those named like a label, then those without gaps, then classes, then quantities; of these the last ones first.
    """
    used = usages(table, None)
    in_reverse = reversed(table.columns.values())
    possible = [column for column in in_reverse if not used[column.name].is_ignored and not obstacle(column)]

    def rank(column: ColumnProfile) -> tuple[int, bool, bool]:
        words = set(name_words(column.name))
        by_name = next((level for level, names in enumerate(_TELLING) if words & names), len(_TELLING))
        return by_name, column.has_gaps, decide(column).task is Task.REGRESSION

    return sorted(possible, key=rank)


def described(column: ColumnProfile) -> str:
    """A candidate in a few words: its name, the task and its values."""
    task = re.sub("_classification$", "", decide(column).task.value)
    values = among(column) if column.is_number else listed(map(str, column.counts))
    gaps = f", none in {rows(column.missing)}" if column.missing else ""
    return f"{shortened(column.name)}: {task}, {values}{gaps}"


def obstacle(column: ColumnProfile) -> str:
    """Why a column cannot be predicted; empty where it can."""
    if not column.present:
        return "it has no values"
    if column.is_list:
        return "its rows have several values each"
    if column.is_time:
        return "its values are times"
    if column.distinct < 2:
        return f"{shortened(str(next(iter(column.counts))))} in every row"
    if column.is_number:
        return ""
    if column.distinct > MOST_COUNTED or (column.distinct > 2 and column.distinct_share > _MOST_SHARE_OF_NAMES):
        return f"{among(column)}: names or identifiers rather than classes"
    return ""


def mistyped(column: ColumnProfile) -> str:
    """A sentence on classes that look like a frequent one with a letter too few, too many or changed; empty where none does.

    Args:
      column: a label of text.
    """
    counts = sorted(((str(value), count) for value, count in column.counts.items()), key=lambda each: -each[1])
    pairs = [
        f"{rare!r} ({rows(count)}) for {frequent!r} ({rows(usual)})"
        for place, (frequent, usual) in enumerate(counts)
        for rare, count in counts[place + 1 :]
        if count <= _RARE_SHARE * usual and _are_a_letter_apart(rare.casefold().strip(), frequent.casefold().strip())
    ]
    if not pairs:
        return ""
    return f"{shortened(column.name)} may have classes that are mistyped and learnt apart: {'; '.join(pairs[:_MOST_MISTYPED])}."


def _are_a_letter_apart(one: str, other: str) -> bool:
    """Whether words of letters differ in one letter after the first: `A1` and `B1` are not the same with an error."""
    if min(len(one), len(other)) < _SHORTEST_WORD or not (one + other).replace(" ", "").isalpha() or one[0] != other[0]:
        return False
    changes = [each for each in SequenceMatcher(None, one, other, autojunk=False).get_opcodes() if each[0] != "equal"]
    return len(changes) == 1 and all(end - start <= 1 for _, *ends in changes for start, end in (ends[:2], ends[2:]))


def words_for_truths(column: ColumnProfile) -> tuple[str, ...]:
    """The values of a label, where they are words for true and false and some mean the same; else nothing."""
    words = tuple(sorted(map(str, column.counts)))
    is_text = column.kind is Kind.TEXT and not column.is_list
    return words if is_text and are_truths(words) and alike(words) else ()


def require_label(table: TableProfile, label: str | None, task: Task | None = None) -> str:
    """Checks that a column can be predicted.

    Args:
      table: the table.
      label: the column; None where nobody has named one.
      task: the kind of prediction that was asked for; None where the values decide.

    Returns:
      The column's name.

    Raises:
      UsageError: none is named, it is not there, or it cannot be predicted. The error lists the candidates.
    """
    possible = likely_labels(table)[:_MOST_CANDIDATES]
    expected = "one of these columns:\n" + "\n".join(map(described, possible)) if possible else "a column with different values"
    fix = f"Name a column: --label {quoted(possible[0].name)}" if possible else "Add such a column to the table."
    if label is None:
        raise UsageError("It is not clear which column is to be predicted.", expected=expected, seen="no --label", fix=fix)
    if label not in table.columns:
        what = f"The table has no column {label!r}. {did_you_mean(label, table.columns)}".rstrip()
        fix = f"Name a column: --label {quoted(closest(label, table.columns) or possible[0].name)}" if possible else fix
        raise UsageError(what, where="--label", expected=expected, seen=listed(table.columns), fix=fix)
    column = table.columns[label]
    if reason := obstacle(column):
        raise UsageError(f"The column {label!r} cannot be predicted.", where="--label", expected=expected, seen=reason, fix=fix)
    if task is not None and (reason := suits(column, task)):
        raise UsageError(
            f"The task {task.value} does not suit the column {label!r}.",
            where="--task",
            expected=decide(column).task.value,
            seen=reason,
            fix=f"--task {decide(column).task.value}",
        )
    return label
