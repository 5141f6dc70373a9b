"""The data of runs: files and spans, rows, the schema, and the columns whose values have moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pipeline.report import formats
from pipeline.report.compare.differences import NONE, Difference, Section, difference, kept
from pipeline.report.read.data import Source
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.schema import SchemaRow
from pipeline.report.read.statistics import FeatureStatistics, SplitStatistics, Statistics

_MOST_COLUMNS = 12
_SMALL = 0.02
"""Moves that nobody would call one: a fiftieth of a standard deviation, or of the rows."""
_DEVIATIONS = 4.0
"""How many standard errors a move must be from none: chance has one in sixteen thousand columns there."""


def compare_data(runs: Sequence[RunDetails]) -> Section:
    """Where the rows come from, and how many there are."""
    data = [run.data for run in runs]
    splits = list(dict.fromkeys(split for each in data for split in (*each.sources, *each.rows)))
    rows = [difference("input", [each.pattern or None for each in data])]
    rows += [difference(split, [_source(each.sources.get(split)) for each in data]) for split in splits]
    rows += [difference(f"rows of {split}", [each.rows.get(split) for each in data], formats.number) for split in splits]
    rows += [
        difference("divided", [each.division or None for each in data]),
        difference("evaluated from", [each.boundary or None for each in data]),
    ]
    return Section("data", "Data", kept(rows))


def compare_schemas(runs: Sequence[RunDetails]) -> Section:
    """The columns that the schemas describe otherwise."""
    tables = [{row.name: row for row in run.schema.features} if run.schema else {} for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = kept(difference(name, [_described(table.get(name)) for table in tables]) for name in names)
    return Section("schema", "Schema", rows)


def compare_statistics(runs: Sequence[RunDetails]) -> Section:
    """The columns whose values have moved from the first run to the last, by more than chance, those that moved most first."""
    first, last = runs[0].statistics, runs[-1].statistics
    if first is None or last is None:
        return Section("statistics", "Values that moved")
    before, after = ({each.name: each for each in table.features} for table in (first, last))
    moved = sorted(
        (
            (abs(move), _moved(name, split, move, unit, runs))
            for name in before
            if name in after
            for split, move, unit in _moves(before[name], after[name], first.rows, last.rows)
        ),
        key=lambda pair: -pair[0],
    )
    more = len(moved) - _MOST_COLUMNS
    notes = (f"{more} more have moved less.",) if more > 0 else ()
    return Section("statistics", "Values that moved", tuple(row for _, row in moved[:_MOST_COLUMNS]), notes)


def same_evaluation(runs: Sequence[RunDetails]) -> bool:
    """Whether the runs were evaluated on the same rows, as far as files, boundary and numbers of rows tell."""
    return len({_evaluated(run) for run in runs}) == 1


def _evaluated(run: RunDetails) -> tuple[object, ...]:
    source = run.data.sources.get("eval")
    return source.files if source else (), run.data.rows.get("eval"), run.data.boundary


def _source(source: Source | None) -> str | None:
    return (source.spans_text or source.files_text) if source else None


def _described(row: SchemaRow | None) -> str | None:
    if row is None:
        return None
    return ", ".join(text for text in (row.type, row.presence, row.domain, row.environments) if text)


def _moves(
    before: FeatureStatistics, after: FeatureStatistics, rows: Mapping[str, int], rows_after: Mapping[str, int]
) -> Iterator[tuple[str, float, str]]:
    """How far each split has moved: means in standard deviations, with that unit, values and missing ones in shares of rows."""
    for split, old in before.splits.items():
        new = after.splits.get(split)
        if new is None:
            continue
        missing = _share_moved(old.missing, new.missing, rows[split], rows_after[split])
        unit = " s.d." if old.numeric and new.numeric else ""
        move, unit = max((missing, ""), (_distance(old, new), unit), key=lambda each: abs(each[0]))
        if move:
            yield split, move, unit


def _distance(old: SplitStatistics, new: SplitStatistics) -> float:
    if old.numeric and new.numeric:
        if not old.numeric.std:
            return 0.0 if new.numeric.mean == old.numeric.mean else math.inf
        return _beyond_chance((new.numeric.mean - old.numeric.mean) / old.numeric.std, 1.0, old.count, new.count)
    if old.categorical and new.categorical and old.count and new.count:
        shares, others = dict(old.categorical.top_values), dict(new.categorical.top_values)
        moves = [
            _share_moved(shares.get(value, 0) / old.count, others.get(value, 0) / new.count, old.count, new.count)
            for value in shares | others
        ]
        return max(moves, key=abs, default=0.0)
    return 0.0


def _share_moved(before: float, after: float, old: float, new: float) -> float:
    """How far a share has moved beyond chance; were it the same, that of both together would be the best guess of it."""
    share = (before * old + after * new) / max(old + new, 1)
    # Of a list, a value may be in a row more than once.
    return _beyond_chance(after - before, math.sqrt(max(share * (1 - share), 0.0)), old, new)


def _beyond_chance(move: float, deviation: float, old: float, new: float) -> float:
    """The move, or 0 where chance may have made it: the standard error of a difference of means is s √(1/n + 1/m)."""
    error = deviation * math.sqrt(1 / max(old, 1) + 1 / max(new, 1))
    return move if abs(move) > max(_SMALL, _DEVIATIONS * error) else 0.0


def _moved(name: str, split: str, move: float, unit: str, runs: Sequence[RunDetails]) -> Difference:
    texts = [_summary(run.statistics, name, split) for run in runs]
    change = f"{formats.difference(move)}{unit}" if math.isfinite(move) else ""
    return Difference(f"{name}, {split}", tuple(texts), tuple(text or NONE for text in texts), change)


def _summary(statistics: Statistics | None, name: str, split: str) -> str | None:
    """A column in a few words: mean and deviation, or the most frequent value, and how many rows have none."""
    feature = next((each for each in statistics.features if each.name == name), None) if statistics else None
    found = feature.splits.get(split) if feature else None
    if statistics is None or found is None:
        return None
    text = f"{found.count:,} values"
    if found.numeric and statistics and name in statistics.times:
        text = f"{formats.date(found.numeric.min)} to {formats.date(found.numeric.max)}"
    elif found.numeric:
        text = f"{formats.number(found.numeric.mean)} ± {formats.number(found.numeric.std)}"
    elif found.categorical and found.categorical.top_values and found.count:
        value, count = found.categorical.top_values[0]
        text = f"{formats.percent(count / found.count)} {value}, {found.categorical.unique:,} values"
    return f"{text}, {formats.percent(found.missing)} missing" if found.missing else text
