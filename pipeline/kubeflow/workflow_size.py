"""How large the workflow of a run becomes: above 1 MiB, Kubeflow Pipelines loses sight of its nodes."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.errors import ConfigError

LIMIT = 1024 * 1024
"""Bytes of a workflow up to which Argo keeps its nodes as they are. Above, it compresses them, and KFP 2.17 does not read that:
the API and the dashboard show the states of that moment until the end of the run."""

# Of what a task is given, Argo keeps a copy in the workflow's arguments, as input and as output of the driver, and as input of
# the task, of its retried step and of its pod.
_COPIES = 6
# What else a task adds, in bytes. On a real backend a workflow of 12 tasks that were given 8,128 bytes each had 850,049 bytes,
# which leaves 22,100 a task; the difference is for further attempts, each with a copy more.
_REST = 30_000


def workflow_size(arguments: Collection[list[str]]) -> int:
    """The bytes that a run's workflow may have at its end.

    Args:
      arguments: what each task is given.
    """
    return sum(_COPIES * sum(map(len, given)) + _REST for given in arguments)


def require_fitting_workflow(arguments: Collection[list[str]], pipeline: str) -> None:
    """Makes sure that Kubeflow can show a run to its end.

    Args:
      arguments: what each task is given.
      pipeline: the pipeline's name.

    Raises:
      ConfigError: the run's workflow may be too large.
    """
    size = workflow_size(arguments)
    if size > LIMIT:
        raise ConfigError(
            "The runs of this pipeline would be too large for Kubeflow.",
            where=pipeline,
            expected=f"a workflow of at most {LIMIT:,} bytes; above, Kubeflow no longer shows the states of nodes",
            seen=f"about {size:,} bytes in {len(arguments)} tasks",
            fix="Put nodes into kubeflow.groups, so that there are fewer tasks; or shorten what they carry: the curated schema "
            "(long domains) and the files with your own code.",
        )
