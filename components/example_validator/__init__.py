"""Validates the data against the schema, and the label: a run whose data is wrong stops before training."""

from components.example_validator.component import STOP, STOP_IF_UNWORKABLE, SchemaValidator

__all__ = ["STOP", "STOP_IF_UNWORKABLE", "SchemaValidator"]
