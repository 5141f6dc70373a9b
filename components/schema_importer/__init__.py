"""Brings the curated schema into the pipeline."""

from components.schema_importer.component import SchemaImporter
from components.schema_importer.schema_file import read_curated_schema

__all__ = ["SchemaImporter", "read_curated_schema"]
