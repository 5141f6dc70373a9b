"""The configuration that suits a table, and the reasons for it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.shared.examples.kinds import Kind
from pipeline.config.training import Task
from pipeline.contracts.label import remark_on
from pipeline.errors import UsageError
from pipeline.profile import leaks, sentinels, splits
from pipeline.profile.example import request
from pipeline.profile.label import mistyped
from pipeline.profile.parts import parts_of
from pipeline.profile.source import Source
from pipeline.profile.table import TableProfile
from pipeline.profile.task import Decision, decide
from pipeline.profile.usage import Usage, usages
from pipeline.profile.words import listed, of_rows, rows, shortened
from pipeline.util.yaml_text import in_yaml

_LONGEST_NAME = 40
_TOO_FEW = 50
_MOST_REASONS = 8
# Beyond, columns of a wide table are used alike, and a comment on each hides the settings.
_MOST_EXPLAINED = 50


@dataclass
class Draft:
    """A configuration in the making.

    Attributes:
      fields: what differs from the defaults; an empty section stands for its comments.
      comments: lines to stand above a field, by the names that lead to it.
      decision: what is predicted, and why.
      usages: how each column but the label is used.
      warnings: sentences on what should be looked at before the model is trusted.
    """

    fields: dict[str, Any]
    comments: dict[tuple[str, ...], list[str]]
    decision: Decision
    usages: dict[str, Usage]
    warnings: list[str] = field(default_factory=list)


def draft(
    table: TableProfile,
    source: Source,
    data: Mapping[str, Any],
    label: str,
    task: Task | None = None,
    *,
    unlabelled: int = 0,
    truths: Sequence[str] = (),
    amounts: Mapping[str, str] | None = None,
    nulls: Mapping[str, Sequence[str]] | None = None,
    dates: str = "",
) -> Draft:
    """Decides on everything that the table tells.

    Args:
      table: the table, without the rows that have no label.
      source: where its files are.
      data: the section `data` of the configuration so far.
      label: the column to predict, which `require_label` has passed.
      task: the kind of prediction, where the label's values are not to decide.
      unlabelled: how many rows have no label.
      truths: the words of the label, where they have been read as true and false.
      amounts: an amount of each column whose amounts have been read as numbers, by name.
      nulls: words of each column that have been read as no value among numbers, by name.
      dates: the order of day and month that the values tell, as `data.dates` has it; empty where none does.

    Raises:
      UsageError: no other column is of use.
    """
    decision = decide(table.columns[label])
    if task is not None and task is not decision.task:
        decision = Decision(task, "Chosen by --task.")
    used = usages(table, label)
    _require_features(used, label, source)
    fields = {"name": pipeline_name(source.stem), "task": decision.task.value, "label": label, "data": dict(data)}
    made = Draft(fields, {("task",): [decision.reason]}, decision, used)
    _label(made, table, unlabelled, truths)
    for name, amount in (amounts or {}).items():
        made.fields["data"].setdefault("columns", {})[name] = "float"
        told = made.comments.setdefault(("data", "columns"), [])
        told.append(f"{shortened(name)} has amounts such as {amount}, which are read as numbers.")
    if nulls:
        made.fields["data"]["csv"] = {"nulls": sorted({word for words in nulls.values() for word in words})}
        told = [
            f"{shortened(name)} says {listed(words)} among numbers, which is read as no value." for name, words in nulls.items()
        ]
        made.comments["data", "csv"] = told
        made.warnings += told
    if dates:
        made.fields["data"]["dates"] = dates
        made.comments["data", "dates"] = ["As the days above 12 tell; other files and tables that are scored may have none."]
    _divide(made, table, source)
    _use(made, table)
    if example := request(table, [name for name, usage in used.items() if not usage.is_ignored]):
        made.fields["gateway"] = {"example": example}
        made.comments[("gateway",)] = ["A row of the table: the request that the gateway's page shows."]
    return made


def pipeline_name(stem: str) -> str:
    """A name for the pipeline and its model: of lower-case letters, digits and dashes, and short enough for Kubernetes."""
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not name[:1].isalpha():
        name = f"table-{name}"
    return name[:_LONGEST_NAME].strip("-")


def _require_features(used: Mapping[str, Usage], label: str, source: Source) -> None:
    if all(usage.is_ignored for usage in used.values()):
        reasons = [f"{shortened(name)}: {usage.role.value}, {usage.reason}" for name, usage in used.items()]
        raise UsageError(
            "No column is left to predict the label from.",
            where=source.pattern,
            expected=f"a column besides {label!r} that varies and does not only name its row",
            seen="\n".join(reasons[:_MOST_REASONS]) or "no other column",
            fix="Add columns to the table that are known before the label is.",
        )


def _label(made: Draft, table: TableProfile, unlabelled: int, truths: Sequence[str]) -> None:
    """How the label is read, and the rows that have none."""
    label, data = made.fields["label"], made.fields["data"]
    told: dict[str, str] = {}
    if truths:
        data["columns"] = {label: "boolean"}
        told["columns"] = f"{shortened(label)} says {listed(truths)}, which is read as true and false."
    if unlabelled:
        data["unlabelled"] = "drop"
        told["unlabelled"] = (
            f"{of_rows(unlabelled, unlabelled + table.rows)} have no value of {shortened(label)} and are left out."
        )
    made.comments.update({("data", name): [text] for name, text in told.items()})
    made.warnings += told.values()
    column = table.columns[label]
    if column.kind is Kind.TEXT and (remark := remark_on(label, list(map(str, column.counts)))):
        made.warnings.append(remark)
        made.comments["label",] = [remark]
    if column.kind is Kind.TEXT and (remark := mistyped(column)):
        made.warnings.append(remark)
        made.comments.setdefault(("label",), []).append(remark)


def _divide(made: Draft, table: TableProfile, source: Source) -> None:
    if source.reason:
        made.comments["data", "input"] = [source.reason]
    label, task = made.fields["label"], made.decision.task
    choice = splits.by_span(source.spans) if source.spans > 1 else splits.within(table, label, task)
    if choice.setting:
        made.fields["data"]["split"] = dict(choice.setting)
        made.comments["data", "split"] = [choice.reason]


def _use(made: Draft, table: TableProfile) -> None:
    """The section on features: defaults as comments by what the columns are, then settings with their reasons."""
    features: dict[str, Any] = {}
    by_role: dict[str, list[str]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    for name, usage in made.usages.items():
        role = usage.role.value
        if usage.setting:
            features[name] = dict(usage.setting)
            reasons[role] += 1
            if reasons[role] <= _MOST_EXPLAINED:
                made.comments["features", name] = [f"{role.capitalize()}: {usage.reason}."]
            elif reasons[role] == _MOST_EXPLAINED + 1:
                made.comments["features", name] = [f"{role.capitalize()}, like others below: {usage.reason}."]
        else:
            by_role[role].append(f"{shortened(name)} ({usage.reason})")
    lines = [f"{role.capitalize()}: {_first(columns)}." for role, columns in by_role.items()]
    used = [name for name, usage in made.usages.items() if not usage.is_ignored]
    label, task = made.fields["label"], made.decision.task
    leaking = leaks.warnings(table, label, task, used)
    told: list[tuple[Sequence[str], str]] = [([name], warning) for name, warning in leaking.items()]
    if task is Task.REGRESSION and (parts := parts_of(table, label, [name for name in used if name not in leaking])):
        told.append((parts.names, parts.warning))
    for names, warning in told:
        made.warnings.append(warning)
        line = "their lines" if len(names) > 1 else "its line"
        place = f"write in place of {line}" if any(made.usages[name].setting for name in names) else "add"
        lines += [f"{warning} If not, {place}:", *(f"  {in_yaml(name)}: {{kind: ignore}}" for name in names)]
    of_table = (leaks.repeated_rows(table), leaks.total_row(table), *sentinels.warnings(table, used))
    for warning in filter(None, of_table):
        made.warnings.append(warning)
        lines.append(warning)
    if table.rows < _TOO_FEW:
        made.warnings.append(f"{rows(table.rows)} are too few to tell a good model from a bad one.")
    made.fields["features"] = features
    made.comments["features",] = lines


def _first(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _MOST_EXPLAINED:,} more" if len(columns) > _MOST_EXPLAINED else ""
    return ", ".join(columns[:_MOST_EXPLAINED]) + more
