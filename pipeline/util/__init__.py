"""Helpers that import nothing of the project but its errors."""
