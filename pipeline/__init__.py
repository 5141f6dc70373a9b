"""Conveyor: from a table of data to a served model, as a TFX pipeline on a laptop and on Kubeflow Pipelines.

The command line, `pipeline.cli`, is the way in. `pipeline.config` has the typed configuration that every command starts from,
and `pipeline.graph` wires the pipeline of it. docs/architecture.md describes all parts and what each may import.
"""
