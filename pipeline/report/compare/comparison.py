"""A comparison of runs: what differs, from the data to the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.compare import data, flips, results, settings
from pipeline.report.compare.differences import Difference, Section
from pipeline.report.read.run_details import RunDetails


@dataclass(frozen=True)
class ComparedRun:
    """A run as a comparison names it.

    Attributes:
      id: its id.
      state: how it ended.
      started: when, in seconds since 1970.
      version: the version that it pushed; empty without one.
    """

    id: str
    state: str
    started: float
    version: str

    @property
    def title(self) -> str:
        """The id, with the version where there is one."""
        return f"{self.id} (v{self.version})" if self.version else self.id


@dataclass(frozen=True)
class RunsComparison:
    """What differs between runs of a pipeline.

    Attributes:
      pipeline: the pipeline's name.
      runs: the runs, in the order in which they were asked for.
      sections: the sections that have something to say.
      primary: how the metric that sums a model up differs; None where it does not.
    """

    pipeline: str
    runs: tuple[ComparedRun, ...]
    sections: tuple[Section, ...]
    primary: Difference | None = None

    @property
    def sentence(self) -> str:
        """What differs, in a sentence."""
        *others, last = [section.title.lower() for section in self.sections if section.rows] or [""]
        if not last:
            return "They do not differ."
        return f"They differ in {', '.join(others)} and {last}." if others else f"They differ in {last}."

    def document(self) -> dict[str, Any]:
        """The comparison as JSON would hold it."""
        return {
            "pipeline": self.pipeline,
            "runs": [{**vars(run), "version": run.version or None} for run in self.runs],
            "differences": {
                section.name: [
                    {
                        "subject": row.subject,
                        "values": list(row.values),
                        "change": row.change or None,
                        "trend": row.trend or None,
                    }
                    for row in section.rows
                ]
                for section in self.sections
            },
            "notes": [note for section in self.sections for note in section.notes],
        }


def compare(runs: Sequence[RunDetails], *, predictions: bool = False) -> RunsComparison:
    """Compares runs of one pipeline. Changes are those from the first to the last.

    Args:
      runs: two or more.
      predictions: whether the models are asked about the same rows, which takes TensorFlow and its time.

    Raises:
      StorageError: what a node has made cannot be read.
      UsageError: predictions cannot be compared.
    """
    sections = (
        results.compare_outcomes(runs),
        results.compare_metrics(runs),
        results.compare_slices(runs),
        *(flips.compare_predictions(runs) if predictions else ()),
        data.compare_data(runs),
        data.compare_schemas(runs),
        data.compare_statistics(runs),
        settings.compare_settings(runs),
        settings.compare_code(runs),
        results.compare_times(runs),
        results.compare_memory(runs),
    )
    primary = runs[-1].evaluation.primary_metric if runs[-1].evaluation else ""
    moved = next(
        (row for section in sections if section.name == "metrics" for row in section.rows if row.subject == primary), None
    )
    named = tuple(ComparedRun(run.outcome.run_id, run.outcome.state.value, run.outcome.started, run.version) for run in runs)
    return RunsComparison(runs[0].config.name, named, tuple(each for each in sections if each.rows or each.notes), moved)
