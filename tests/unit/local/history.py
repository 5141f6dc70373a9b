"""A metadata store as runs of a small pipeline leave it: ExampleGen, Resolver, Trainer, Evaluator, Pusher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.example_gen import inputs
from pipeline.config import Split
from pipeline.local import unchanged
from pipeline.runs import database, verification
from pipeline.runs.resolvers import TYPE_NAME
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState

FINGERPRINT = "sha256:1"
SPLIT = Split().model_dump_json()


@dataclass
class History:
    """What earlier runs left in a workspace; artifacts have names of the test's own."""

    folder: Path
    artifacts: dict[str, mlmd.Artifact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = database.sqlite(self.folder / "metadata.sqlite")
        self.store = MetadataStore(self.connection)
        self.runs = self.folder / "runs"
        self.write_data("a,b\n1,2\n")

    @property
    def served(self) -> Path:
        """The serving folder."""
        return self.folder / "models"

    def write_data(self, text: str, name: str = "table.csv") -> None:
        """Writes a file that ExampleGen reads."""
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / name).write_text(text)

    def first(self) -> None:
        """A run in which everything was new."""
        configured = {"input_pattern": f"{self.folder}/data/*.csv", "file_format": "auto", "split": SPLIT}
        found = inputs.resolve(configured)
        self.execute("1", "ExampleGen", outputs={"examples": "examples"}, properties={**configured, **found})
        self.execute("1", "Resolver")
        self.execute("1", "Trainer", {"examples": "examples"}, {"model": "model"})
        self.judge("1", "1", baseline=False)
        self.save("1")

    def second(self, *, baseline: bool = True) -> None:
        """One that took all from the cache, but judged the model anew: against itself as baseline."""
        self.repeat_example_gen("2")
        self.execute("2", "Resolver", internal={"model": "model", "model_blessing": "blessing 1"} if baseline else {})
        self.execute("2", "Trainer", {"examples": "examples"}, {"model": "model"}, state=mlmd.Execution.CACHED)
        self.judge("2", "2", baseline=baseline)
        self.save("2")

    def repeat_example_gen(self, run: str) -> None:
        """Records an ExampleGen that found its data in the cache; what its driver found is then no property of it."""
        configured = {"input_pattern": f"{self.folder}/data/*.csv", "file_format": "auto", "split": SPLIT}
        self.execute(run, "ExampleGen", outputs={"examples": "examples"}, properties=configured, state=mlmd.Execution.CACHED)

    def judge(self, run: str, version: str, *, baseline: bool, model: str = "model") -> None:
        """Evaluates a model, blesses it and pushes it."""
        against = {"baseline_model": model} if baseline else {}
        blessed = {"blessed": 1, "current_model_id": self.artifacts[model].id}
        name = f"blessing {version}"
        self.execute(
            run, "Evaluator", {"model": model, **against}, {"blessing": name}, made=blessed, cache=f"Evaluator {version}"
        )
        destination = self.served / version
        destination.mkdir(parents=True)
        (destination / "saved_model.pb").touch()
        (destination / "content").write_bytes(b"made")
        pushed = {"pushed": 1, "pushed_version": version, "pushed_destination": str(destination)}
        self.execute(
            run,
            "Pusher",
            {"model": model, "model_blessing": name},
            {"pushed_model": f"pushed {version}"},
            made=pushed,
            cache=f"Pusher {version}",
        )

    def save(self, run: str, *, fingerprint: str = FINGERPRINT, **states: NodeState) -> None:
        """Writes run.json, as the runner does at the end of a run."""
        nodes = {
            name: NodeOutcome(upstream=upstream, state=states.get(name, NodeState.COMPLETE))
            for name, upstream in {
                "ExampleGen": [],
                "Resolver": [],
                "Trainer": ["ExampleGen"],
                "Evaluator": ["Trainer", "Resolver"],
                "Pusher": ["Evaluator"],
            }.items()
        }
        outcome = RunOutcome(run_id=run, pipeline="tables", state=RunState.COMPLETE, nodes=nodes, fingerprint=fingerprint)
        outcome.save(self.runs / run)

    def repeat(self, run: str, fingerprint: str = FINGERPRINT) -> dict[str, NodeOutcome]:
        """Records a run without TFX, or raises ChangedError."""
        return unchanged.repeat(self.connection, self.runs, "tables", run, fingerprint)

    def execute(
        self,
        run: str,
        node: str,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        *,
        internal: Mapping[str, str] | None = None,
        state: int = mlmd.Execution.COMPLETE,
        properties: Mapping[str, Any] | None = None,
        made: Mapping[str, Any] | None = None,
        cache: str = "",
        pipeline: str = "tables",
    ) -> None:
        """Records an execution; outputs that no earlier one made are made, with the properties `made`."""
        kind = TYPE_NAME if "Resolver" in node else node
        execution = mlmd.Execution(type_id=self.store.put_execution_type(mlmd.ExecutionType(name=kind)), last_known_state=state)
        _fill(execution, properties or {})
        names = {"pipeline": pipeline, "pipeline_run": run, "node": f"{pipeline}.{node}"}
        if kind != TYPE_NAME:
            names["execution_cache"] = cache or node
        contexts = [
            mlmd.Context(type_id=self.store.put_context_type(mlmd.ContextType(name=name)), name=text)
            for name, text in names.items()
        ]
        pairs = [(self._input(name), _event(mlmd.Event.INPUT, keys)) for name, keys in _by_artifact(inputs or {}).items()]
        pairs += [
            (self._output(key, name, made or {}), _event(mlmd.Event.OUTPUT, [key])) for key, name in (outputs or {}).items()
        ]
        pairs += [(self._input(name), _event(mlmd.Event.INTERNAL_OUTPUT, [key])) for key, name in (internal or {}).items()]
        _, ids, (pipeline_id, run_id, *_) = self.store.put_execution(
            execution, pairs, contexts, reuse_context_if_already_exist=True
        )
        for (artifact, _), each in zip(pairs, ids, strict=True):
            artifact.id = each
        if not self.store.get_parent_contexts_by_context(run_id):
            self.store.put_parent_contexts([mlmd.ParentContext(parent_id=pipeline_id, child_id=run_id)])

    def delete(self, name: str) -> None:
        """Marks an artifact as deleted."""
        self.artifacts[name].state = mlmd.Artifact.DELETED
        self.store.put_artifacts([self.artifacts[name]])

    def _input(self, name: str) -> mlmd.Artifact:
        return self.artifacts[name]

    def _output(self, key: str, name: str, properties: Mapping[str, Any]) -> mlmd.Artifact:
        if name not in self.artifacts:
            folder = self.folder / "artifacts" / name
            folder.mkdir(parents=True)
            kind = {"model": "Model", "blessing": "ModelBlessing", "pushed_model": "PushedModel"}.get(key, "Artifact")
            artifact = mlmd.Artifact(
                type_id=self.store.put_artifact_type(mlmd.ArtifactType(name=kind)), uri=str(folder), state=mlmd.Artifact.LIVE
            )
            _fill(artifact, properties)
            (folder / "content").write_bytes(b"made")
            verification.record(artifact)
            self.artifacts[name] = artifact
        return self.artifacts[name]


def _by_artifact(inputs: Mapping[str, str]) -> dict[str, list[str]]:
    """One artifact that is two inputs is one event."""
    keys: dict[str, list[str]] = {}
    for key, name in inputs.items():
        keys.setdefault(name, []).append(key)
    return keys


def _event(kind: int, keys: list[str]) -> mlmd.Event:
    event = mlmd.Event(type=kind)
    for key in keys:
        event.path.steps.add().key = key
        event.path.steps.add().index = 0
    return event


def _fill(target: mlmd.Artifact | mlmd.Execution, properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        setattr(target.custom_properties[name], "int_value" if isinstance(value, int) else "string_value", value)
