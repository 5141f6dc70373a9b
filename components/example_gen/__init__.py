"""Reads CSV, Parquet or TFRecord files through Arrow into the splits that every TFX component reads.

Nothing is imported here: what is to be read is found out (`inputs`) without TFX.
"""
