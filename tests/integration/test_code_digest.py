"""The digest of code covers what Python really imports, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

from pipeline.util import checkout, code


def loaded_by(*modules: str) -> set[str]:
    """The project's modules that a fresh Python has loaded once it has imported some of them."""
    program = (
        "import importlib, json, sys\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        f"print(json.dumps([name for name in sys.modules if name.partition('.')[0] in {code.PACKAGES!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout.ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_it_covers_what_the_trainer_really_imports() -> None:
    assert set(code.closure("pipeline.training.tuner")) == loaded_by("pipeline.training.tuner")


def test_what_it_covers_imports_nothing_else() -> None:
    covered = code.closure(*code.NODES, "pipeline.kubeflow.pod.entrypoint", "pipeline.kubeflow.pod.finish")
    assert loaded_by(*covered) == set(covered)
    assert {"pipeline.parameters", "pipeline.runs.execute", "components.pusher.component"} <= set(covered)
