"""Where Apache Beam would run."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

_ON_THIS_MACHINE = {"BundleBasedDirectRunner", "DirectRunner", "FnApiRunner", "PrismRunner", "SwitchingDirectRunner"}


def distributed_runner(beam_pipeline_args: Sequence[str] | None) -> str | None:
    """The Beam runner, if it can spread work over machines; there a component leaves its work to TFX's Beam pipeline.

    Args:
      beam_pipeline_args: Beam's command line.

    Returns:
      The runner as the command line names it, or None for one that stays on this machine.
    """
    runner = PipelineOptions(list(beam_pipeline_args or ())).view_as(StandardOptions).runner
    if runner is None or runner.rpartition(".")[2] in _ON_THIS_MACHINE:
        return None
    return runner
