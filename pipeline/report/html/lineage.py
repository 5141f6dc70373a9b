"""The steps from data to a pushed version, as boxes of a graph."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import nodes
from pipeline.report.html.charts import Box
from pipeline.report.read.data import Data, data_of
from pipeline.runs.metadata import Artifact, Execution, Lineage


@dataclass(frozen=True)
class Step:
    """An execution that a lineage is made of: its main output, and the run that did the work."""

    execution: Execution
    output: Artifact | None
    run: str
    upstream: tuple[str, ...]


@dataclass(frozen=True)
class LineageView:
    """A lineage as steps, causes before effects; `run_id` is the run that is looked at, `data` what ExampleGen read."""

    lineage: Lineage
    steps: tuple[Step, ...]
    run_id: str
    data: Data

    @property
    def boxes(self) -> list[Box]:
        """Data, steps, the baseline and the pushed version."""
        by_text = {source.spans_text or source.files_text: split for split, source in self.data.sources.items()}
        boxes = [
            Box(f"data {split}", f"Data, {split}" if len(by_text) > 1 else "Data", text, "source")
            for text, split in by_text.items()
        ]
        data = tuple(box.id for box in boxes)
        for step in self.steps:
            subtitle = f"{step.output.type} {step.output.id}" if step.output else f"execution {step.execution.id}"
            upstream = step.upstream
            for baseline in step.execution.inputs.get(nodes.BASELINE_KEY, ()):
                boxes.append(Box("baseline", "Baseline", f"Model {baseline.id}", "earlier"))
                upstream = (*upstream, "baseline")
            if step.execution.node == nodes.EXAMPLE_GEN.id:
                upstream = data
            style = "complete" if step.run == self.run_id else "earlier"
            boxes.append(Box(step.execution.node, step.execution.node, subtitle, style, upstream))
        if self.lineage.version:
            boxes.append(Box("version", f"Version {self.lineage.version}", "pushed", "good", (nodes.PUSHER.id,)))
        return boxes


def view_lineage(lineage: Lineage, run_id: str = "") -> LineageView:
    """Arranges a lineage for showing.

    Args:
      lineage: the lineage to show.
      run_id: the id of the run whose page it is; the run that made the artifact when not given.
    """
    makers = {
        artifact.id: execution.node
        for execution in lineage.executions
        for artifacts in execution.outputs.values()
        for artifact in artifacts
    }
    steps = []
    for execution in lineage.executions:
        used = [
            artifact.id for key, artifacts in execution.inputs.items() if key != nodes.BASELINE_KEY for artifact in artifacts
        ]
        main = nodes.NODES[execution.node].main_output if execution.node in nodes.NODES else ""
        outputs = execution.outputs.get(main, ()) or next(iter(execution.outputs.values()), ())
        upstream = tuple(sorted({makers[each] for each in used if each in makers}))
        steps.append(Step(execution, next(iter(outputs), None), next(iter(execution.runs), ""), upstream))
    run = run_id or (steps[-1].run if steps else "")
    return LineageView(lineage, tuple(steps), run, data_of(lineage.execution(nodes.EXAMPLE_GEN.id)))
