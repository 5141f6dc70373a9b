"""Computes statistics of examples on Arrow batches."""

from components.statistics_gen.component import ArrowStatisticsGen

__all__ = ["ArrowStatisticsGen"]
