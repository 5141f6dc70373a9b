"""Reads CSV, Parquet or TFRecord files through Arrow into the splits that every TFX component reads."""

from components.example_gen.component import ArrowExampleGen
from components.example_gen.spans import SingleSplit

__all__ = ["ArrowExampleGen", "SingleSplit"]
