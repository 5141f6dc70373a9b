"""Conveyor in a notebook or a program: pipelines, their runs, and predictions of pushed models.

import conveyor

pipeline = conveyor.load("pipeline.yaml")
run = pipeline.run()
pipeline.model().predict(frame)
"""

from conveyor.model import Model
from conveyor.pipeline import Pipeline, load
from conveyor.run import Run

__all__ = ["Model", "Pipeline", "Run", "load"]
