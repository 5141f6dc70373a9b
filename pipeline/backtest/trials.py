"""The models that policies would have had: runs of the pipeline that end with the Trainer, and push nothing."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from components.shared.examples.stored_spans import StoredSpans
from pipeline import nodes
from pipeline.backtest.history import History
from pipeline.config import PipelineConfig, Split
from pipeline.config.loading import flawed
from pipeline.config.section import Section
from pipeline.errors import StorageError
from pipeline.local.fingerprint import fingerprint
from pipeline.local.runner import Observer, run_pipeline
from pipeline.local.training import require_suitable_data
from pipeline.local.worker import PipelineFactory
from pipeline.report.read.saved_model import FOLDER
from pipeline.runs import database
from pipeline.runs.metadata import Run, open_store
from pipeline.runs.status import NodeState, RunOutcome
from pipeline.util import files
from pipeline.util.sealed import seal, unseal

_SUFFIX = "-trial"


@dataclass(frozen=True)
class Trial:
    """A trained model.

    Attributes:
      key: a digest of all that the model follows from.
      spans: the spans that it was trained on, oldest first.
      before: the span that came next, which the run has read for evaluation.
      run_id: the run that trained it.
      seconds: how long the run took; of one that the cache has answered, how long the nodes took that made the model.
      model: the folder of the SavedModel.
      examples: the folder of the rows.
    """

    key: str
    spans: tuple[int, ...]
    before: int
    run_id: str
    seconds: float
    model: str
    examples: str


@dataclass(frozen=True)
class _Made:
    """A run that has ended well, and how long the nodes took that made its last output."""

    outcome: RunOutcome
    run: Run
    seconds_of_nodes: float

    @property
    def seconds(self) -> float:
        trainer = self.outcome.nodes.get(nodes.TRAINER.id)
        if trainer and trainer.state is NodeState.CACHED:
            return self.seconds_of_nodes
        return (self.outcome.ended or self.outcome.started) - self.outcome.started

    def folder(self, node: str, key: str) -> str:
        output = self.run.output(node, key)
        if output is None:
            raise StorageError(
                f"Run {self.outcome.run_id} has no output of {node}.",
                where=self.outcome.pipeline,
                expected=f"the output {key!r} that ML Metadata has recorded",
                fix="Run the same command again: what is complete is not repeated.",
            )
        return str(output.path)


class Trials:
    """Trains models, each once: what an earlier backtest has trained on the same spans, settings and code is used again.

    Args:
      config: the pipeline's configuration.
      history: the spans.
      folder: where it is recorded what was trained.
      observed: returns a context with an observer of one run.
      told: called with each model that was trained.

    Attributes:
      folder: where it is recorded what was trained.
      config: the configuration of the runs, under a name of their own.
    """

    def __init__(
        self,
        config: PipelineConfig,
        history: History,
        folder: Path,
        observed: Callable[[], AbstractContextManager[Observer]],
        told: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self.folder = folder
        self.config = trial_config(config)
        self._history, self._observed, self._told = history, observed, told
        # Where it cannot be computed, nothing is taken to be as it was.
        self._settings = fingerprint(self.config) or uuid.uuid4().hex
        self._trials: dict[tuple[int, ...], Trial] = {}
        self._examples: dict[int, str] = {}

    def train(self, spans: Sequence[int]) -> Trial:
        """The model that is trained on some spans, which follow each other.

        Raises:
          ConveyorError: the run failed.
          KeyboardInterrupt: it was interrupted; nodes that are complete are not repeated.
        """
        wanted = tuple(spans)
        if wanted not in self._trials:
            trial = self._recorded(wanted) or self._trained(wanted)
            self._trials[wanted] = trial
            self._examples |= dict.fromkeys((*wanted, trial.before), trial.examples)
        return self._trials[wanted]

    def files(self, span: int) -> list[str]:
        """The files with the rows of a span, as ExampleGen has stored them.

        Raises:
          ConveyorError: they cannot be read.
        """
        if span not in self._examples:
            # No model was trained for this span: it is read alone, and taken from the cache when one is.
            made = self._run(self._spans_before(span), span, nodes.EXAMPLE_GEN.id)
            self._examples[span] = made.folder(nodes.EXAMPLE_GEN.id, "examples")
        folder = Path(self._examples[span])
        stored = StoredSpans.load(str(folder))
        parts = [part for each in stored.spans if each.number == span for part in each.parts.values()] if stored else []
        return [str(folder / f"Split-{part.split}" / name) for part in parts for name in part.files]

    def content(self, span: int) -> str:
        """A digest of the files of a span."""
        return self._history.contents[span]

    def _trained(self, spans: tuple[int, ...]) -> Trial:
        before = self._next(spans)
        made = self._run(spans, before, nodes.TRAINER.id)
        model = made.folder(nodes.TRAINER.id, "model")
        trial = Trial(
            self._key(spans),
            spans,
            before,
            made.outcome.run_id,
            made.seconds,
            str(Path(model, FOLDER)),
            made.folder(nodes.EXAMPLE_GEN.id, "examples"),
        )
        files.write(self._path(trial.key), seal(json.dumps(asdict(trial), indent=2)))
        self._told(trial)
        return trial

    def _recorded(self, spans: tuple[int, ...]) -> Trial | None:
        """The model of an earlier backtest, if it is still there."""
        try:
            document = json.loads(unseal(self._path(self._key(spans)).read_bytes()))
            trial = Trial(**{**document, "spans": tuple(document["spans"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return trial if all(Path(each).is_dir() for each in (trial.model, trial.examples)) else None

    def _run(self, spans: Sequence[int], before: int, last_node: str) -> _Made:
        split = Split(method="window", train_spans=len(spans), eval_spans=1)
        data = self.config.data.model_copy(update={"split": split, "newest_span": before, "fingerprint": None})
        config = self.config.model_copy(update={"data": data})
        with self._observed() as observer:
            outcome = run_pipeline(
                config,
                PipelineFactory("pipeline.graph:create_pipeline", {"config": config}),
                name=config.name,
                to_nodes=(last_node,),
                observer=observer,
                check=lambda: require_suitable_data(config, flawed),
            )
        if outcome.problem:
            raise outcome.problem.as_error()
        with open_store(database.connection(config), config.name) as store:
            run = store.run(outcome.run_id)
            output = run.output(last_node, nodes.NODES[last_node].main_output)
            lineage = store.lineage(output).executions if output else ()
        return _Made(outcome, run, sum(each.seconds for each in lineage))

    def _key(self, spans: tuple[int, ...]) -> str:
        contents = [self._history.contents[each] for each in (*spans, self._next(spans))]
        return hashlib.sha256(json.dumps([self._settings, spans, contents]).encode()).hexdigest()[:32]

    def _next(self, spans: Sequence[int]) -> int:
        return next(each for each in self._history.spans if each > spans[-1])

    def _spans_before(self, span: int) -> list[int]:
        return [each for each in self._history.spans if each < span]

    def _path(self, key: str) -> Path:
        return self.folder / "models" / f"{key}.json"


def trial_config(config: PipelineConfig) -> PipelineConfig:
    """The configuration of the runs of a backtest: a pipeline of their own, which neither pushes nor searches.

    Args:
      config: that of the pipeline.
    """
    return config.model_copy(
        update={
            "name": f"{config.name}{_SUFFIX}",
            "data": _resolved(config, "data", "input"),
            "schema_source": _resolved(config, "schema_source", "path"),
            "preprocessing": _resolved(config, "preprocessing", "preprocessing_fn"),
            "model": _resolved(config, "model", "build_model"),
            "tuner": config.tuner.model_copy(update={"enabled": False, "reuse": False}),
        }
    )


def _resolved(config: PipelineConfig, section: str, field: str) -> Section:
    """A section with a path in place of one that may have the pipeline's name in it."""
    found: Section = getattr(config, section)
    path = getattr(found, field)
    return found if path is None else found.model_copy(update={field: config.resolve(path)})
