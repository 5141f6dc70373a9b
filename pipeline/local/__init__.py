"""The local runner: LocalDagRunner's work with progress, parallel branches and resume."""

from pipeline.local.runner import run_pipeline
from pipeline.local.worker import PipelineFactory

__all__ = ["PipelineFactory", "run_pipeline"]
