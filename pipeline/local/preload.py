"""The imports that nodes share. The fork server loads them once, so that each node's process starts with them in memory.

Nothing here may run a TensorFlow operation: its runtime starts threads, which a fork would lose.
"""

import tfx.components.evaluator.executor
import tfx.components.statistics_gen.executor
import tfx.components.trainer.executor
import tfx.components.transform.executor
import tfx.orchestration.portable.launcher

import pipeline.node  # noqa: F401
