"""A workspace as runs leave it: a metadata store and the artifacts that it names, made in a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config import PipelineConfig
from tests.fakes.artifacts import (
    write_anomalies,
    write_evaluation,
    write_history,
    write_model,
    write_schema,
    write_statistics,
)


@dataclass
class Workspace:
    """A workspace that tests fill as runs do.

    Attributes:
      config: of the pipeline `flights`.
      made: artifact ids by what they are called in a test.
    """

    config: PipelineConfig
    made: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = str(self.config.metadata_path)
        self.config.workspace_path.mkdir(exist_ok=True)
        self.store = MetadataStore(connection)
        self._types: dict[str, int] = {}

    def folder(self, node: str, key: str, name: str) -> Path:
        """Where a node's output goes."""
        return self.config.artifacts_path / node / key / name

    def execute(
        self,
        run: str,
        node: str,
        *,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        state: int = mlmd.Execution.COMPLETE,
        types: Mapping[str, str] | None = None,
        properties: Mapping[str, str | int | float] | None = None,
        execution_properties: Mapping[str, str] | None = None,
    ) -> None:
        """Records an execution; inputs and outputs are names of artifacts by key, new ones are made."""
        execution = mlmd.Execution(type_id=self._type("execution", node), last_known_state=state)
        for name, text in (execution_properties or {}).items():
            execution.custom_properties[name].string_value = text
        pipeline = self.config.name
        pairs = [(self._event(mlmd.Event.INPUT, key), self._artifact(name)) for key, name in (inputs or {}).items()]
        for key, name in (outputs or {}).items():
            artifact = self._artifact(name, (types or {}).get(key, "Artifact"), self.folder(node, key, name), properties or {})
            pairs.append((self._event(mlmd.Event.OUTPUT, key), artifact))
        contexts = [
            mlmd.Context(type_id=self._type("context", kind), type=kind, name=name)
            for kind, name in (("pipeline", pipeline), ("pipeline_run", run), ("node", f"{pipeline}.{node}"))
        ]
        artifacts = [(artifact, event) for event, artifact in pairs]
        _, artifact_ids, context_ids = self.store.put_execution(
            execution, artifacts, contexts, reuse_context_if_already_exist=True
        )
        self.made.update(zip([*(inputs or {}).values(), *(outputs or {}).values()], artifact_ids, strict=True))
        parent = mlmd.ParentContext(parent_id=context_ids[0], child_id=context_ids[1])
        if not self.store.get_parent_contexts_by_context(context_ids[1]):
            self.store.put_parent_contexts([parent])

    def run(self, run: str, suffix: str, *, baseline: str = "", min_auc: float = 0.7, version: str = "") -> None:
        """Records a whole run, with the files that its nodes leave."""
        names = {key: key + suffix for key in ("examples", "statistics", "schema", "anomalies", "model", "model_run", "pushed")}
        blessing, evaluation = "blessing" + suffix, "evaluation" + suffix
        self.execute(
            run,
            "ExampleGen",
            outputs={"examples": names["examples"]},
            types={"examples": "Examples"},
            properties={
                "span": 3,
                "rows": json.dumps({"train": 200, "eval": 100}),
                "division": "by time, from 2013-03-01 on to evaluate on",
                "boundary": "2013-03-01",
            },
            execution_properties={
                "input_pattern": "/data/flights-{SPAN}.csv",
                "input_files": json.dumps(
                    {"train": ["/data/flights-01.csv", "/data/flights-02.csv"], "eval": ["/data/flights-03.csv"]}
                ),
            },
        )
        write_statistics(self.folder("StatisticsGen", "statistics", names["statistics"]))
        self.execute(run, "StatisticsGen", inputs={"examples": names["examples"]}, outputs={"statistics": names["statistics"]})
        write_schema(self.folder("SchemaGen", "schema", names["schema"]))
        self.execute(run, "SchemaGen", outputs={"schema": names["schema"]})
        write_anomalies(self.folder("ExampleValidator", "anomalies", names["anomalies"]), {})
        checked = {"statistics": names["statistics"], "schema": names["schema"]}
        self.execute(run, "ExampleValidator", inputs=checked, outputs={"anomalies": names["anomalies"]})
        write_model(self.folder("Trainer", "model", names["model"]))
        write_history(self.folder("Trainer", "model_run", names["model_run"]))
        self.execute(
            run,
            "Trainer",
            inputs={"examples": names["examples"], "schema": names["schema"]},
            outputs={"model": names["model"], "model_run": names["model_run"]},
            types={"model": "Model"},
        )
        write_evaluation(self.folder("Evaluator", "evaluation", evaluation), baseline=bool(baseline), min_auc=min_auc)
        self.execute(
            run,
            "Evaluator",
            inputs={
                "model": names["model"],
                "examples": names["examples"],
                **({"baseline_model": baseline} if baseline else {}),
            },
            outputs={"blessing": blessing, "evaluation": evaluation},
            types={"blessing": "ModelBlessing"},
            properties={"blessed": int(min_auc <= 0.8), "current_model_id": self.made[names["model"]]},
        )
        pushed = {"pushed": 1, "pushed_version": version, "pushed_destination": str(self.config.serving_path / version)}
        self.execute(
            run,
            "Pusher",
            inputs={"model": names["model"], "model_blessing": blessing},
            outputs={"pushed_model": names["pushed"]},
            types={"pushed_model": "PushedModel"},
            properties=pushed if version else {"pushed": 0},
        )

    def _type(self, kind: str, name: str) -> int:
        key = f"{kind} {name}"
        if key not in self._types:
            put = getattr(self.store, f"put_{kind}_type")
            self._types[key] = put(
                {"artifact": mlmd.ArtifactType, "execution": mlmd.ExecutionType, "context": mlmd.ContextType}[kind](name=name)
            )
        return self._types[key]

    def _artifact(
        self,
        name: str,
        kind: str = "Artifact",
        uri: Path | None = None,
        properties: Mapping[str, str | int | float] | None = None,
    ) -> mlmd.Artifact:
        if name in self.made:
            return self.store.get_artifacts_by_id([self.made[name]])[0]
        artifact = mlmd.Artifact(type_id=self._type("artifact", kind), uri=str(uri), state=mlmd.Artifact.LIVE)
        for key, value in (properties or {}).items():
            field_name = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
            setattr(artifact.custom_properties[key], field_name, value)
        return artifact

    @staticmethod
    def _event(kind: int, key: str) -> mlmd.Event:
        event = mlmd.Event(type=kind)
        event.path.steps.add(key=key)
        return event
