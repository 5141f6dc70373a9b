"""Writes a table of rows and what a model predicts for them."""

from components.prediction_writer.component import PredictionWriter

__all__ = ["PredictionWriter"]
