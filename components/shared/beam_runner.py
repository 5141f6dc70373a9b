"""Where Apache Beam would run."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from pipeline.errors import NodeError

_ON_THIS_MACHINE = {"BundleBasedDirectRunner", "DirectRunner", "FnApiRunner", "PrismRunner", "SwitchingDirectRunner"}
_SECONDS_TO_CONNECT = 10


def distributed_runner(beam_pipeline_args: Sequence[str] | None) -> str | None:
    """The Beam runner, if it can spread work over machines; there a component leaves its work to TFX's Beam pipeline.

    Args:
      beam_pipeline_args: Beam's command line.

    Returns:
      The runner as the command line names it, or None for one that stays on this machine.

    Raises:
      NodeError: the runner is a job server, and nothing answers at its address. Beam itself says so late and in no words.
    """
    options = PipelineOptions(list(beam_pipeline_args or ()))
    runner = options.view_as(StandardOptions).runner
    if runner is None or runner.rpartition(".")[2] in _ON_THIS_MACHINE:
        return None
    if address := options.view_as(PortableOptions).job_endpoint:
        _require_answer(address)
    return runner


def _require_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise NodeError(
            "Beam's job server does not answer.",
            where=address,
            seen=str(error),
            fix="start it as docs/beam.md shows, or set execution.beam.runner to 'direct'",
        ) from error
