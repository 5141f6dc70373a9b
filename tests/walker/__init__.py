"""Walks a compiled pipeline package as the backend of Kubeflow Pipelines 2.17 does, without a cluster.

What the backend does is read from its source: the driver resolves inputs, the launcher fills in placeholders and collects
outputs, Argo orders, retries and hooks. Rules that a package can break are kept where they bite: a package that the backend
would refuse, or run otherwise than meant, is refused or run so here.

    package = Package.parse(text)
    run = walk(package, folder, parameters={"span": 3}, volumes={"data": folder}, secrets={"database": {"url": "…"}})
    run.tasks["trainer"].state, run.tasks["trainer"].artifacts["model_card"].file
"""

from tests.walker.package import Package, PackageError
from tests.walker.pod import IMAGE_ENVIRONMENT, Exit, Pod, ProcessRunner, Runner
from tests.walker.results import Artifact, Attempt, Run, State, TaskResult
from tests.walker.walk import walk

__all__ = [
    "IMAGE_ENVIRONMENT",
    "Artifact",
    "Attempt",
    "Exit",
    "Package",
    "PackageError",
    "Pod",
    "ProcessRunner",
    "Run",
    "Runner",
    "State",
    "TaskResult",
    "walk",
]
