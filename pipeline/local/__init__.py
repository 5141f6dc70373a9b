"""The local runner: LocalDagRunner's work with progress, parallel branches and resume."""

from pipeline.local.runner import run_pipeline
from pipeline.local.worker import Blueprint

__all__ = ["Blueprint", "run_pipeline"]
