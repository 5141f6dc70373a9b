"""What runs were told and what they were made with: configuration, hyperparameters, code and packages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report.compare.differences import Section, difference, kept
from pipeline.report.read.run_details import RunDetails
from pipeline.util import git


def compare_code(runs: Sequence[RunDetails]) -> Section:
    """The commit that each run was started at, and the versions of packages."""
    made = [run.outcome.provenance for run in runs]
    names = dict.fromkeys(name for each in made if each for name in each.packages)
    rows = [
        difference("commit", [(each.revision or None) if each else None for each in made]),
        difference("Python", [each.python if each else None for each in made]),
        *(difference(name, [each.packages.get(name) if each else None for each in made]) for name in names),
    ]
    notes = [f"Run {run.outcome.run_id} does not say what it was made with." for run in runs if run.outcome.provenance is None]
    first, last = made[0], made[-1]
    if first and last and first.commit and last.commit and first.commit != last.commit:
        # None where the commits are of another repository, or gone.
        stat = git.ask(Path.cwd(), "diff", "--shortstat", first.commit, last.commit)
        notes += [f"Between the commits of the first and the last: {stat.strip()}."] if stat else []
    notes += [
        f"Changed beside the commit of {run.outcome.run_id}: {', '.join(each.changed)}."
        for run, each in zip(runs, made, strict=True)
        if each and each.changed
    ]
    return Section("code", "Code and packages", kept(rows), tuple(notes))


def compare_settings(runs: Sequence[RunDetails]) -> Section:
    """Fields of the configuration, and of what training derived from it and the data, as far as all runs have them."""
    rows = []
    notes = tuple(f"Run {run.outcome.run_id} does not say its configuration." for run in runs if not run.outcome.config)
    recipes = [run.training.recipe if run.training else {} for run in runs]
    for prefix, contents in (("", [run.outcome.config for run in runs]), ("training: ", recipes)):
        if all(contents):
            tables = [dict(_flat(content)) for content in contents]
            names = dict.fromkeys(name for table in tables for name in table)
            rows += [difference(prefix + name, [table.get(name) for table in tables], _text) for name in names]
    rows.append(difference("members", [(run.training.composition or None) if run.training else None for run in runs]))
    return Section("settings", "Settings", kept(rows), notes)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of nested mappings, by their dotted names; those that are null are left out."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
