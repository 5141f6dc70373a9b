"""A run: its verdict, metrics, slices and report."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from pipeline.report import formats
from pipeline.report.html.page import render_report
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails, read_run_details
from pipeline.report.verdict import judge

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config import PipelineConfig

_FRAME_HEIGHT = 720


class Report:
    """The report of a run, which a notebook shows in a frame.

    Attributes:
      html: the page, which refers to nothing outside itself.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" width="100%" height="{_FRAME_HEIGHT}" frameborder="0"></iframe>'


class Run:
    """A run that has ended.

    Args:
      config: the pipeline's configuration.
      run_id: the run's id.

    Attributes:
      id: the run's id.
    """

    def __init__(self, config: PipelineConfig, run_id: str) -> None:
        self.id = run_id
        self._config = config

    @cached_property
    def details(self) -> RunDetails:
        """All that the run left: outcome, artifacts, statistics, schema, evaluation."""
        return read_run_details(self._config, self.id)

    @property
    def state(self) -> str:
        """Where the run stands: complete, not_blessed, failed, interrupted or running."""
        return self.details.outcome.state.value

    @property
    def blessed(self) -> bool | None:
        """Whether the Evaluator blessed the model; None if it did not judge."""
        return self.details.blessed

    @property
    def version(self) -> int | None:
        """The version that the model was pushed as; None if it was not pushed."""
        return int(self.details.version) if self.details.version else None

    @property
    def verdict(self) -> str:
        """The result of the run and the reasons for it."""
        verdict = judge(self.details)
        return "\n".join((verdict.headline, *verdict.reasons))

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics of all rows: candidate, baseline and difference by metric; empty where no model was evaluated."""
        import pandas as pd

        found = self._evaluation.overall.metrics.values() if self._evaluation else ()
        rows = [(each.metric, each.candidate, each.baseline, each.difference) for each in found]
        frame = pd.DataFrame(rows, columns=["metric", "candidate", "baseline", "difference"])
        return frame.set_index("metric").astype(float)

    @property
    def slices(self) -> pd.DataFrame:
        """The candidate's metrics by slice, the slice of all rows first; empty where no model was evaluated."""
        import pandas as pd

        rows = [
            {"slice": each.label, **{name: pair.candidate for name, pair in each.metrics.items()}}
            for each in (self._evaluation.slices if self._evaluation else ())
        ]
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["slice"]).set_index("slice")

    @property
    def report(self) -> Report:
        """The report of the run, as far as the run came."""
        return Report(render_report(self.details, embedded=True))

    def as_row(self) -> dict[str, Any]:
        """The run in a line: id, state, start (UTC), seconds, data, primary metric, its value, pushed version."""
        import pandas as pd

        outcome = self.details.outcome
        metric = self._evaluation.primary_metric if self._evaluation else ""
        return {
            "run": self.id,
            "state": self.state,
            "started": pd.Timestamp(outcome.started, unit="s", tz="UTC").floor("s"),
            "seconds": outcome.ended - outcome.started if outcome.ended else None,
            "data": self.details.data.summary,
            "metric": metric,
            "value": self._evaluation.overall.metric(metric).candidate if self._evaluation and metric else None,
            "version": self.version,
        }

    @property
    def _evaluation(self) -> Evaluation | None:
        return self.details.evaluation

    def _repr_html_(self) -> str:
        verdict = judge(self.details)
        reasons = "".join(f"<br>{escape(reason)}" for reason in verdict.reasons)
        metrics = self.metrics.map(formats.metric).to_html() if len(self.metrics) else ""
        return f"<b>{escape(verdict.headline)}</b> · run {escape(self.id)}{reasons}{metrics}"

    def __repr__(self) -> str:
        return f"Run({self.id!r}: {judge(self.details).headline})"
