"""The model card as files, for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from pipeline import nodes
from pipeline.report import formats
from pipeline.report.model_card import ModelCard, model_card
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.slices import OVERALL
from pipeline.report.verdict import standing
from pipeline.util import files

MARKDOWN, JSON = "model_card.md", "model_card.json"


def write_model_card(details: RunDetails) -> None:
    """Writes the card of a run's model into the run's folder, and into that of the version that was pushed, if that is here.

    Args:
      details: what is known of the run. Nothing is written for one that has no model.

    Raises:
      OSError: a file cannot be written.
    """
    if details.model is None:
        return
    card = model_card(details)
    markdown, document = to_markdown(card, details), json.dumps(to_document(card, details), indent=2, ensure_ascii=False) + "\n"
    for folder in (details.folder, _pushed_to(details)):
        if folder is not None and folder.is_dir():
            files.write(folder / MARKDOWN, markdown, files.READABLE)
            files.write(folder / JSON, document, files.READABLE)


def to_markdown(card: ModelCard, details: RunDetails) -> str:
    """The card as GitHub shows Markdown."""
    lines = [f"# {_escaped(_name(details))}", "", _escaped(card.purpose), ""]
    if card.owners:
        lines += [f"Owners: {_escaped(', '.join(card.owners))}", ""]
    if card.license:
        lines += [f"License: {_escaped(card.license)}", ""]
    if details.evaluation is not None:
        compared = standing(details)
        lines += ["## Metrics on all evaluation rows", "", *([_escaped(compared), ""] if compared else [])]
        lines += [*_metrics_table(details.evaluation), ""]
    lines += ["## Limits", "", *(f"- {_escaped(limit)}" for limit in card.limits), ""]
    for heading, pairs in card.facts:
        lines += [f"## {heading}", "", "| | |", "| --- | --- |"]
        lines += [f"| {_escaped(name)} | {_escaped(value)} |" for name, value in pairs]
        lines.append("")
    return "\n".join(lines)


def to_document(card: ModelCard, details: RunDetails) -> dict[str, Any]:
    """The card in the fields of the JSON schema, version 0.0.2, of https://github.com/tensorflow/model-card-toolkit.

    Numbers are text there. Each metric is there for all rows, and for the slices that have enough.
    """
    config, facts = details.config, dict(card.facts)
    model, data = dict(facts["Model"]), dict(facts["Data"])
    columns = details.saved_model.columns if details.saved_model else {}
    return {
        "model_details": {
            "name": config.name,
            "overview": card.purpose,
            "owners": [_owner(owner) for owner in card.owners],
            "version": {"name": details.version, "date": formats.moment(details.outcome.ended, zone=True)},
            "licenses": [{"identifier": card.license}] if card.license else [],
        },
        "model_parameters": {
            "model_architecture": model["Architecture"],
            "data": [{"name": data["Files"]}],
            "input_format": ", ".join(f"{name}: {kind}" for name, kind in columns.items()),
            "output_format": dict(facts["Task"])["Kind"],
        },
        "quantitative_analysis": {
            "performance_metrics": _measured(details.evaluation, config.evaluation.min_slice_rows) if details.evaluation else []
        },
        "considerations": {"limitations": [{"description": limit} for limit in card.limits]},
    }


def _name(details: RunDetails) -> str:
    version = f", version {details.version}" if details.version else f", run {details.outcome.run_id}, not pushed"
    return f"Model card: {details.config.name}{version}"


def _pushed_to(details: RunDetails) -> Path | None:
    """The folder of the version that this run has pushed, or found pushed; None where it has not."""
    pushed = details.run.output(nodes.PUSHER.id, "pushed_model")
    return Path(str(pushed.properties["pushed_destination"])) if pushed and details.version else None


def _metrics_table(evaluation: Evaluation) -> list[str]:
    metrics = [each for _, each in sorted(evaluation.overall.metrics.items())]
    has_baseline = any(each.baseline is not None for each in metrics)
    rows = [["metric", "value", "baseline"], ["---", "---:", "---:"]]
    rows += [[_escaped(each.metric), formats.metric(each.candidate), formats.metric(each.baseline)] for each in metrics]
    return [f"| {' | '.join(row if has_baseline else row[:2])} |" for row in rows]


def _measured(evaluation: Evaluation, min_rows: int) -> list[dict[str, str]]:
    shown = [each for each in evaluation.slices if not each.key or (each.rows or 0) >= min_rows]
    return [
        {"type": name, "value": repr(metric.candidate), "slice": each.label if each.key else OVERALL}
        for each in shown
        for name, metric in sorted(each.metrics.items())
        if metric.candidate is not None and math.isfinite(metric.candidate)
    ]


def _owner(owner: str) -> dict[str, str]:
    match = re.fullmatch(r"(?P<name>.*\S)\s*<(?P<contact>[^<>]+)>", owner)
    return match.groupdict() if match else {"name": owner}


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", " ".join(text.split()))
