"""Brings the curated schema into the pipeline.

Nothing is imported here, because `schema_file` reads a schema without TFX.
"""
