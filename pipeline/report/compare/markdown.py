"""A comparison as Markdown, for comments on a change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.report.compare.comparison import RunsComparison
from pipeline.report.compare.differences import Difference

# What Markdown and HTML would take for their own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def render_markdown(comparison: RunsComparison) -> str:
    """The comparison as Markdown, as GitHub and GitLab show it.

    Args:
      comparison: what differs.
    """
    titles = [run.title for run in comparison.runs]
    lines = [f"## {_escaped(comparison.pipeline)}: {_escaped(' and '.join(titles))}", "", comparison.sentence]
    for section in comparison.sections:
        lines += ["", f"### {_escaped(section.title)}", ""]
        if section.rows:
            heads = ["", *titles, *(["change"] if section.has_changes else [])]
            lines += _table(heads, [_cells(row, has_changes=section.has_changes) for row in section.rows])
        for note in section.notes:
            lines += [*([""] if lines[-1] else []), _escaped(note)]
    return "\n".join(lines) + "\n"


def _cells(row: Difference, *, has_changes: bool) -> list[str]:
    change = f"{row.change}, {row.trend}" if row.trend else row.change
    return [row.subject, *row.shown, *([change] if has_changes else [])]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [[_escaped(cell) for cell in row] for row in (heads, *rows)]
    return ["| " + " | ".join(line) + " |" for line in (lines[0], ["---"] * len(heads), *lines[1:])]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
