"""Runs beside each other: only what differs, from the data to the metrics."""
