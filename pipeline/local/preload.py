"""The imports that nodes share. The fork server loads them once, so that each node's process starts with them in memory.

Nothing here may run a TensorFlow operation: its runtime starts threads, which a fork would lose.
"""

from pipeline.util.imports import heavy_imports

with heavy_imports():
    import tfx.components.trainer.executor  # noqa: F401

    import pipeline.graph
    import pipeline.runs.execute  # noqa: F401
