"""Validates the data against the schema, and the label: a run whose data is wrong stops before training.

Nothing is imported here, because `conveyor schema` accepts data without TFX.
"""
