"""Settings for every test, wherever it lies."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Before TensorFlow is imported: errors only, no search for accelerators that a test would not use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Tests have databases of their own.
os.environ.pop("CONVEYOR_METADATA", None)

# Machines that run tests are busy with other things: a slow example is not a failure. What a test's fixtures make serves all of
# its examples.
unimportant = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("conveyor", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=unimportant)
settings.load_profile("conveyor")
