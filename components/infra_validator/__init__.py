"""Validates that the candidate can be served: it is loaded and answers real requests before it is pushed.

Nothing is imported here: where it is served is decided (`docker`) without TFX.
"""
