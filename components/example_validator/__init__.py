"""Validates the data against the schema, and the label: a run whose data is wrong stops before training."""

from components.example_validator.component import SchemaValidator

__all__ = ["SchemaValidator"]
