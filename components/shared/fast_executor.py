"""Executors that run a fast implementation where it applies, and TFX's own executor elsewhere."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from absl import logging
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact

from pipeline.errors import NodeError

FORCE_KEY = "force"
"""The execution property that chooses: "fast", "stock", or "auto" for the implementation that applies."""

Artifacts = dict[str, list[Artifact]]

_ON_THIS_MACHINE = {"BundleBasedDirectRunner", "DirectRunner", "FnApiRunner", "PrismRunner", "SwitchingDirectRunner"}
_SECONDS_TO_CONNECT = 10


class UnsupportedError(Exception):
    """The fast implementation does not apply, for the reason that the message gives."""


class FastExecutor(base_executor.BaseExecutor):
    """Runs a fast implementation where settings and data allow it, and TFX's own executor elsewhere.

    TFX's executor is made only when it is needed, since a Beam executor packages the sources of TFX when it is made: seconds.

    Attributes:
      NODE: the name of TFX's component.
      STOCK: TFX's own executor.
    """

    NODE: ClassVar[str]
    STOCK: ClassVar[type[base_executor.BaseExecutor]]

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Executes the node.

        Args:
          input_dict: as in TFX's executor.
          output_dict: as in TFX's executor.
          exec_properties: as in TFX's executor, and optionally `force`: "fast", "stock" or "auto".

        Raises:
          NodeError: `force` is "fast", and the fast implementation does not apply.
        """
        force = exec_properties.get(FORCE_KEY, "auto")
        if force != "stock":
            try:
                if runner := distributed_runner(getattr(self._context, "beam_pipeline_args", None)):
                    raise UnsupportedError(f"Beam runs on {runner}")
                self.run_fast(input_dict, output_dict, exec_properties)
                return
            except UnsupportedError as reason:
                if force == "fast":
                    raise NodeError(
                        f"The fast {self.NODE} does not apply.",
                        where=self.NODE,
                        seen=str(reason),
                        fix="Set force to 'auto' or 'stock' to use TFX's own.",
                    ) from reason
                logging.warning("TFX's own %s is used, which is slower: %s.", self.NODE, reason)
        self.run_stock(input_dict, output_dict, exec_properties)

    def run_stock(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Executes the node by TFX's own executor."""
        self.STOCK(self._context).Do(input_dict, output_dict, exec_properties)

    @abstractmethod
    def run_fast(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Executes the node without Beam.

        Raises:
          UnsupportedError: the implementation does not apply. No output has been written that TFX's own would not replace.
        """


def distributed_runner(beam_pipeline_args: Sequence[str] | None) -> str | None:
    """The Beam runner, if it can spread work over machines; there a component leaves its work to TFX's Beam pipeline.

    Args:
      beam_pipeline_args: Beam's command line.

    Returns:
      The runner as the command line names it, or None for one that stays on this machine.

    Raises:
      NodeError: the runner is a job server, and nothing answers at its address. Beam's own error comes late and does not
        name the address.
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
            fix="Start it as docs/beam.md shows, or set execution.beam.runner to 'direct'.",
        ) from error
