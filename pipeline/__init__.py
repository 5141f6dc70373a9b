"""Conveyor: from a table of data to a served model with TFX."""
