"""Packages whose runs Kubeflow could not show to their end are refused."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.kubeflow.workflow_size import LIMIT, require_fitting_workflow, workflow_size

# What each task of the recorded workflows was given: 12 tasks, or 4 with the nodes in groups.
GIVEN = ["--ir", "x" * 6_136, "--config", "x" * (8_128 - 6_136)]


@pytest.mark.parametrize(("tasks", "seen"), [(12, 850_049), (4, 302_000)])
def test_the_size_is_at_least_what_a_real_backend_had(tasks: int, seen: int) -> None:
    assert seen <= workflow_size([GIVEN] * tasks) <= 1.2 * seen


def test_a_workflow_that_is_too_large_is_refused() -> None:
    require_fitting_workflow([GIVEN] * 12, "flights")

    with pytest.raises(ConfigError, match="too large for Kubeflow") as caught:
        require_fitting_workflow([GIVEN] * 14, "flights")

    assert caught.value.expected.startswith(f"a workflow of at most {LIMIT:,} bytes")
    assert "14 tasks" in caught.value.seen
    assert "kubeflow.groups" in caught.value.fix
