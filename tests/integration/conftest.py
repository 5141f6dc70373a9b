"""A project in a folder of its own: a sample of the flights, the example's configuration, and the `conveyor` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.datasets import flights

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "examples" / "flights" / "pipeline.yaml"
CONVEYOR = Path(sys.executable).with_name("conveyor")

ROWS_PER_SPAN = 1500
# A sample this small and one epoch make a poor model, so the bar is low: these tests judge the pipeline, not the model. It is
# of the kind that is trained soonest.
OVERRIDES = (
    "model.kind=network",
    "training.epochs=1",
    "evaluation.thresholds.auc.min=0.0",
    "evaluation.thresholds.auc.max_regression=0.5",
    "infra_validator.runner=process",
    "infra_validator.requests=20",
)

LOAD_AS_TF_SERVING = """
import sys
import tensorflow as tf
assert "pipeline" not in sys.modules and "tensorflow_transform" not in sys.modules
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    signature = meta.signature_def["serving_default"]
    example = tf.train.Example()
    example.features.feature["carrier"].bytes_list.value.append(b"UA")
    example.features.feature["departure_minute"].int64_list.value.append(900)
    scores = session.run(signature.outputs["score"].name, {signature.inputs["examples"].name: [example.SerializeToString()]})
assert scores.shape == (1, 1)
print(scores[0, 0])
"""


@dataclass(frozen=True)
class Project:
    """A folder with data, in which commands are run as a user would."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def workspace(self) -> Path:
        return self.folder / ".conveyor"

    @property
    def versions(self) -> list[str]:
        """The pushed versions: the numbered folders that a model server would load."""
        folder = self.workspace / "models" / "flights"
        return sorted((path.name for path in folder.glob("[0-9]*")), key=int)

    def write_span(self, span: int, table: pa.Table) -> Path:
        path = self.data / f"span-{span}" / "flights.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        return path

    def conveyor(self, command: str, *arguments: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Runs `conveyor COMMAND CONFIG …` with the overrides that make the example small."""
        chosen = (f"data.input={self.data}/span-{{SPAN}}/flights.*", *OVERRIDES, *settings)
        options = [part for setting in chosen for part in ("--set", setting)]
        line = [str(CONVEYOR), command, str(CONFIG), *options, *arguments]
        return subprocess.run(line, cwd=self.folder, capture_output=True, text=True, env=ENVIRONMENT, timeout=600)

    def run(self, *arguments: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return self.conveyor("run", *arguments, settings=settings)

    def inspect(self, command: str, *arguments: str) -> str:
        """What `conveyor show` and its like print about this project."""
        line = [str(CONVEYOR), command, *arguments, "--config", str(CONFIG)]
        return subprocess.run(line, cwd=self.folder, capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout

    def score(self, version: str) -> float:
        """What a pushed version answers to a flight of United's, in a process without this project."""
        model = self.workspace / "models" / "flights" / version
        done = subprocess.run(
            [sys.executable, "-I", "-c", LOAD_AS_TF_SERVING, str(model)], capture_output=True, text=True, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    def last_run(self) -> dict[str, Any]:
        """run.json of the newest run."""
        newest = max((self.workspace / "runs" / "flights").glob("*/run.json"))
        content: dict[str, Any] = json.loads(newest.read_text())
        return content

    def states(self) -> dict[str, str]:
        """The state of each node in the newest run."""
        return {name: node["state"] for name, node in self.last_run()["nodes"].items()}


# Wide enough that no line of a table is cut.
ENVIRONMENT = {**os.environ, "COLUMNS": "200"}


@pytest.fixture(scope="session")
def sample() -> dict[int, pa.Table]:
    """By span, a sample of the flights of January to May 2013 with the types that the real files have."""
    rows = flights.read_flights()
    return {
        span: pa.Table.from_pandas(
            rows[rows["span"] == span].sample(ROWS_PER_SPAN, random_state=0).sort_index(),
            schema=flights.SCHEMA,
            preserve_index=False,
        ).replace_schema_metadata()
        for span in range(201301, 201306)
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sample: dict[int, pa.Table]) -> Project:
    """A fresh project with the spans of January to April; nothing has run in it."""
    project = Project(tmp_path_factory.mktemp("project"))
    for span in list(sample)[:4]:
        project.write_span(span, sample[span])
    return project
