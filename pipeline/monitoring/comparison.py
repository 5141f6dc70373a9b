"""Two profiles beside each other: how far each column has moved, and how far chance alone would move it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.monitoring import chance
from pipeline.monitoring.categories import Categories, common_values
from pipeline.monitoring.columns import Role
from pipeline.monitoring.numbers import IntArray, Numbers, common_bins, even_bins
from pipeline.monitoring.profile import ColumnProfile, Profile

DISTRIBUTION, MISSING, UNSEEN = "distribution", "missing", "unseen"
"""What is compared of a column: its values, the share of rows without one, the share of values that the reference lacks."""
L_INFINITY, JENSEN_SHANNON = "L-infinity", "Jensen-Shannon"

_BINS, _FEWEST_IN_BIN = 20, 10
_DRAWN_BINS = 24
_SHOWN_VALUES, _SHOWN_UNSEEN = 8, 5


@dataclass(frozen=True)
class Check:
    """A figure beside what chance alone would make of it.

    Attributes:
      kind: `distribution`, `missing` or `unseen`.
      measure: what the figure is: a distance, or a difference of shares.
      value: the figure, from 0 to 1.
      floor: what chance alone reaches with the probability that is allowed; 1 where the rows are too few to tell.
      chance: the probability that chance alone reaches the figure, corrected for all figures that are compared at once.
      allowed: the figure that is allowed whatever its chance.
      is_drift: whether it is more than chance, and more than is allowed.
    """

    kind: str
    measure: str
    value: float
    floor: float
    chance: float
    allowed: float
    is_drift: bool = False


@dataclass(frozen=True)
class Distribution:
    """A column in the reference and now, as it is drawn.

    Attributes:
      names: of values, the most frequent ones; empty for numbers.
      edges: of numbers, the lower ends of the bins and the end of the last.
      reference: the share of each value or bin, from 0 to 1.
      current: the same now.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


@dataclass(frozen=True)
class ColumnComparison:
    """A column in the reference and now.

    Attributes:
      name: the column, with the part of a time in brackets.
      role: `number`, `category`, `words` or `time`.
      checks: the figures that can be told.
      change: the largest change in words.
      missing: the share of rows without a value, in the reference and now.
      unseen_values: the most frequent values that the reference lacks.
      outside: of numbers, the share that is below or above all of the reference; None of others.
      distribution: as it is drawn; None where there is nothing to draw.
      importance: how much worse the model is with the column's values shuffled; None where that was not measured.
    """

    name: str
    role: str
    checks: tuple[Check, ...]
    change: str
    missing: tuple[float, float]
    unseen_values: tuple[str, ...] = ()
    outside: float | None = None
    distribution: Distribution | None = None
    importance: float | None = None

    @property
    def has_drifted(self) -> bool:
        """Whether one of the figures is drift."""
        return any(check.is_drift for check in self.checks)

    def check(self, kind: str) -> Check | None:
        """One of the figures."""
        return next((check for check in self.checks if check.kind == kind), None)


def compare(
    reference: Profile,
    current: Profile,
    *,
    confidence: float,
    allowed: float,
    thresholds: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
) -> tuple[ColumnComparison, ...]:
    """Compares the columns that both have.

    Args:
      reference: what rows should be like.
      current: what they are like.
      confidence: how sure it must be, over all columns at once, that a difference is not chance, from 0 to 1.
      allowed: the largest figure that does not matter, however sure it is.
      thresholds: distances that are allowed instead, by column.
      importance: how much the model leans on each column.

    Returns:
      The columns, those that have drifted first, and of these the ones that the model leans on most.
    """
    level = 1 - confidence
    found = []
    for name, then in reference.columns.items():
        now = current.columns.get(name)
        if now is not None and then.rows and now.rows:
            limit = (thresholds or {}).get(name)
            weight = None if importance is None else importance.get(name)
            columns = _compared(then, now, level, allowed, allowed if limit is None else limit)
            found += [replace(each, importance=weight) for each in columns]
    return tuple(sorted(_judged(found, level), key=_order))


def _judged(found: list[ColumnComparison], level: float) -> list[ColumnComparison]:
    chances = iter(chance.adjusted([check.chance for each in found for check in each.checks]))
    judged = []
    for each in found:
        checks = []
        for check in each.checks:
            probability = next(chances)
            is_drift = probability < level and check.value > check.allowed
            checks.append(replace(check, chance=probability, is_drift=is_drift))
        judged.append(replace(each, checks=tuple(checks)))
    return judged


def _order(column: ColumnComparison) -> tuple[bool, float, float]:
    distribution = column.check(DISTRIBUTION)
    return not column.has_drifted, -(column.importance or 0.0), -(distribution.value if distribution else 0.0)


def _compared(
    then: ColumnProfile, now: ColumnProfile, level: float, allowed: float, limit: float
) -> Iterator[ColumnComparison]:
    missing = (then.missing / then.rows, now.missing / now.rows)
    table = np.array([[then.missing, then.present], [now.missing, now.present]], np.int64)
    base = [_share_check(MISSING, abs(missing[1] - missing[0]), table[:, 0], table.sum(axis=1), level, allowed)]
    column = then.column
    # Several values of one row are not independent of each other: a row counts once.
    scale = max(1.0, (then.values + now.values) / max(1, then.present + now.present))
    if column.role is Role.TIME:
        for part in column.parts:
            of_part = [each.parts.get(part, Numbers()) for each in (then, now)]
            yield _numbers(f"{column.name} ({part})", column.role, of_part, base, missing, level, limit, scale)
            base = []
        if base:
            # Of a time that is a number to the model, nothing else stays as it goes on.
            yield ColumnComparison(column.name, column.role.value, tuple(base), _missing_change(missing), missing)
    elif column.role is Role.NUMBER:
        yield _numbers(column.name, column.role, [then.numbers, now.numbers], base, missing, level, limit, scale)
    else:
        yield _categories(
            column.name, column.role, [then.categories, now.categories], base, missing, level, allowed, limit, scale
        )


def _numbers(
    name: str,
    role: Role,
    numbers: list[Numbers],
    base: list[Check],
    missing: tuple[float, float],
    level: float,
    limit: float,
    scale: float,
) -> ColumnComparison:
    then, now = numbers
    if not then.rows or not now.rows:
        return ColumnComparison(name, role.value, tuple(base), _missing_change(missing), missing)
    _, table = common_bins(numbers, _BINS, _FEWEST_IN_BIN * scale)
    divergence = chance.jensen_shannon(table)
    check = Check(
        DISTRIBUTION,
        JENSEN_SHANNON,
        divergence,
        chance.floor_of_jensen_shannon(level, table, scale),
        chance.chance_of_jensen_shannon(divergence, table, scale),
        limit,
    )
    edges, drawn = even_bins(numbers, _DRAWN_BINS)
    shares = drawn / drawn.sum(axis=1, keepdims=True)
    outside = now.outside(then.smallest, then.largest) / now.rows
    return ColumnComparison(
        name,
        role.value,
        (check, *base),
        _number_change(then, now),
        missing,
        outside=outside,
        distribution=Distribution((), tuple(edges.tolist()), tuple(shares[0].tolist()), tuple(shares[1].tolist())),
    )


def _categories(
    name: str,
    role: Role,
    values: list[Categories],
    base: list[Check],
    missing: tuple[float, float],
    level: float,
    allowed: float,
    limit: float,
    scale: float,
) -> ColumnComparison:
    then, now = values
    if not then.rows or not now.rows:
        return ColumnComparison(name, role.value, tuple(base), _missing_change(missing), missing)
    names, table = common_values(values)
    distance, place = chance.l_infinity(table)
    checks = [
        Check(
            DISTRIBUTION,
            L_INFINITY,
            distance,
            chance.floor_of_l_infinity(level, table, scale),
            chance.chance_of_l_infinity(distance, table, scale),
            limit,
        ),
        *base,
    ]
    unseen = now.unseen(then)
    examples: tuple[str, ...] = ()
    if unseen is not None:
        checks.append(_unseen_check(then, now, unseen, level, allowed, scale))
        examples = tuple(value for value, _ in now.top(10**9) if value not in then.counts)[:_SHOWN_UNSEEN]
    shares = table / table.sum(axis=1, keepdims=True)
    largest = np.argsort(-shares.sum(axis=0), kind="stable")[:_SHOWN_VALUES]
    is_named = not then.is_grouped and not now.is_grouped
    return ColumnComparison(
        name,
        role.value,
        tuple(checks),
        f"{names[place] or 'a group of values'} {_percent(shares[0][place])} → {_percent(shares[1][place])}",
        missing,
        unseen_values=examples,
        distribution=Distribution(
            tuple(names[each] for each in largest),
            (),
            tuple(float(shares[0][each]) for each in largest),
            tuple(float(shares[1][each]) for each in largest),
        )
        if is_named
        else None,
    )


def _unseen_check(then: Categories, now: Categories, unseen: IntArray, level: float, allowed: float, scale: float) -> Check:
    """The share of values that the reference lacks, beside the share of the reference's own that would be unseen without them.

    A value that is once in the reference would be unseen if that row were not there: of Good and Turing (Biometrika 40, 1953).
    Unseen values that come several times are counted by what they are worth as independent rows.
    """
    once = sum(count == 1 for count in then.counts.values())
    share, expected = float(unseen.sum()) / now.rows, once / then.rows
    clumps = max(1.0, float((unseen**2).sum() / max(1, unseen.sum()))) * scale
    counts = np.array([once, int(unseen.sum())])
    return _share_check(UNSEEN, max(0.0, share - expected), counts, np.array([then.rows, now.rows]), level, allowed, clumps)


def _share_check(
    kind: str, difference: float, counts: IntArray, rows: IntArray, level: float, allowed: float, scale: float = 1.0
) -> Check:
    """A difference of two shares, of counts, [2], among rows, [2]."""
    probability = chance.chance_of_share(difference, counts, rows, scale) if difference > 0 else 1.0
    floor = chance.floor_of_share(level, counts, rows, scale)
    return Check(kind, "difference of shares", difference, floor, probability, allowed)


def _number_change(then: Numbers, now: Numbers) -> str:
    medians = [_short(each.quantile(0.5)) for each in (then, now)]
    if medians[0] != medians[1]:
        return f"median {medians[0]} → {medians[1]}"
    return f"mean {_short(then.mean)} → {_short(now.mean)}"


def _missing_change(missing: tuple[float, float]) -> str:
    return f"missing {_percent(missing[0])} → {_percent(missing[1])}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _short(value: float) -> str:
    return f"{value:.4g}"
