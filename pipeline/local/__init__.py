"""The local runner: LocalDagRunner's work with progress, parallel branches and resume."""

from pipeline.local.runner import Blueprint, run_pipeline

__all__ = ["Blueprint", "run_pipeline"]
