"""Rows on which models disagree: each is asked about the evaluation rows of the last run."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import nodes
from pipeline.config import PipelineConfig, Task
from pipeline.contracts.model import (
    EXAMPLES_INPUT,
    EXAMPLES_SIGNATURE,
    LABELS,
    PROBABILITIES,
    PROBABILITY,
    column_of_another_type,
)
from pipeline.errors import UsageError
from pipeline.report import formats
from pipeline.report.compare.differences import Difference, Section
from pipeline.report.read.run_details import RunDetails
from pipeline.report.read.saved_model import FOLDER
from pipeline.util.imports import quietly

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

_BATCH = 8192
_MOST_SLICES, _EXAMPLES = 10, 5
_ALL = "all rows"


@dataclass
class _Group:
    """Rows that have something in common: how many, how many flipped, and how many each model is right about."""

    rows: int = 0
    flips: int = 0
    right: list[int] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class _Flip:
    """A row on which the first and the last model disagree, by how sure both are; of those alike, the first comes first."""

    sureness: float
    position: int
    row: dict[str, Any] = field(compare=False)
    label: str = field(compare=False)
    answers: tuple[tuple[str, float], ...] = field(compare=False)


def compare_predictions(runs: Sequence[RunDetails]) -> tuple[Section, Section]:
    """The rows that flipped by slice, and those of which both models were surest.

    Args:
      runs: the runs, whose models predict classes.

    Raises:
      UsageError: a model, or the evaluation rows of the last run, are not there, a model takes a column as another type, or the
        models predict numbers.
    """
    last = runs[-1]
    if last.config.task is Task.REGRESSION:
        raise UsageError(
            "Predictions of numbers do not flip.",
            where=last.config.name,
            expected="a label with classes",
            seen=last.config.task.value,
            fix="Leave --flips out: the metrics say how far the predictions are off.",
        )
    folders = [_model_of(run) for run in runs]
    files = _evaluation_files(last)
    with quietly():
        found = _Found(last.config, len(runs))
        for batch, answers in _predicted(files, folders):
            found.add(batch, answers)
    return found.by_slice(), found.examples()


@dataclass(frozen=True)
class _Answers:
    """The answers of one model to a batch of rows: labels as text, and how sure it is of them, [N]."""

    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[Any]


class _Found:
    def __init__(self, config: PipelineConfig, num_models: int) -> None:
        self._config = config
        self._groups: dict[str, _Group] = defaultdict(lambda: _Group(right=[0] * num_models))
        self._flips: list[_Flip] = []
        self._seen = 0

    def add(self, batch: pa.RecordBatch, answers: Sequence[_Answers]) -> None:
        """Adds rows as they were read, and each model's answers."""
        import numpy as np
        import pandas as pd

        really = np.array(_texts(batch, self._config.label), object)
        flipped = answers[0].labels != answers[-1].labels
        counted = pd.DataFrame({"rows": 1, "flips": flipped.astype(int)}, range(len(really)))
        for model, each in enumerate(answers):
            counted[model] = (each.labels == really).astype(int)
        self._count(_ALL, counted.sum())
        for columns in self._config.evaluation.sliced_by:
            keys = [pd.Series(_texts(batch, column), name=column) for column in columns]
            for values, sums in counted.groupby(keys if len(keys) > 1 else keys[0]).sum().iterrows():
                given = values if isinstance(values, tuple) else (values,)
                self._count(", ".join(f"{column} = {value}" for column, value in zip(columns, given, strict=True)), sums)
        self._keep(batch, really, answers, np.flatnonzero(flipped))
        self._seen += len(really)

    def _count(self, name: str, sums: pd.Series[int]) -> None:
        group = self._groups[name]
        group.rows += int(sums["rows"])
        group.flips += int(sums["flips"])
        group.right = [right + int(sums[model]) for model, right in enumerate(group.right)]

    def _keep(self, batch: pa.RecordBatch, really: Any, answers: Sequence[_Answers], places: Any) -> None:
        sure = answers[0].probabilities[places] + answers[-1].probabilities[places]
        for place in places[(-sure).argsort(kind="stable")[:_EXAMPLES]]:
            (row,) = batch.slice(int(place), 1).to_pylist()
            given = tuple((str(each.labels[place]), float(each.probabilities[place])) for each in answers)
            flip = _Flip(given[0][1] + given[-1][1], -self._seen - int(place), row, str(really[place]), given)
            if len(self._flips) < _EXAMPLES:
                heapq.heappush(self._flips, flip)
            else:
                heapq.heappushpop(self._flips, flip)

    def by_slice(self) -> Section:
        least = self._config.evaluation.min_slice_rows
        every = self._groups[_ALL]
        wide = [(name, each) for name, each in self._groups.items() if name != _ALL and each.rows >= least]
        ranked = sorted(wide, key=lambda each: (-each[1].flips / each[1].rows, each[0]))[:_MOST_SLICES]
        rows = [self._difference(name, group) for name, group in [(_ALL, every), *ranked] if group.flips]
        note = (
            f"Of {every.rows:,} evaluation rows of the last run, {every.flips:,} have another class by the last model than by "
            "the first. The shares are those of rows that each model is right about."
        )
        return Section("flips", "Predictions that flipped", tuple(rows), (note,))

    def examples(self) -> Section:
        rows = [
            Difference(
                _described(flip.row, self._config.label),
                tuple(answer for answer, _ in flip.answers),
                tuple(f"{answer} ({score:.2f})" for answer, score in flip.answers),
                f"really {flip.label}",
            )
            for flip in sorted(self._flips, reverse=True)
        ]
        return Section("flipped_rows", "Rows that flipped with the surest answers", tuple(rows))

    @staticmethod
    def _difference(name: str, group: _Group) -> Difference:
        shares = tuple(each / group.rows for each in group.right)
        change = f"{group.flips:,} of {group.rows:,} flipped, {formats.percent(group.flips / group.rows)}"
        trend = "better" if shares[-1] > shares[0] else "worse" if shares[-1] < shares[0] else ""
        return Difference(name, shares, tuple(map(formats.percent, shares)), change, trend)


def _predicted(files: Sequence[Path], folders: Sequence[Path]) -> Iterator[tuple[pa.RecordBatch, list[_Answers]]]:
    """Batches of rows, with the answers of each model."""
    import numpy as np
    import tensorflow as tf
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    models = [tf.saved_model.load(str(folder)) for folder in folders]
    signatures = [model.signatures[EXAMPLES_SIGNATURE] for model in models]
    compression = "GZIP" if all(file.suffix == ".gz" for file in files) else ""
    decoder = ExamplesToRecordBatchDecoder()
    for examples in tf.data.TFRecordDataset([str(file) for file in files], compression).batch(_BATCH):
        given = [_asked(signature, examples, folder) for signature, folder in zip(signatures, folders, strict=True)]
        answers = []
        for each in given:
            labels = np.array([_text(label) for label in each[LABELS].numpy()[:, 0].tolist()], object)
            # Where the threshold is not 0.5, the label need not be the class that is most probable.
            sure = each[PROBABILITY][:, 0] if PROBABILITY in each else tf.reduce_max(each[PROBABILITIES], axis=1)
            answers.append(_Answers(labels, sure.numpy()))
        yield decoder.DecodeBatch(examples.numpy()), answers


def _asked(signature: Any, examples: Any, folder: Path) -> Mapping[str, Any]:
    import tensorflow as tf

    try:
        return dict(signature(**{EXAMPLES_INPUT: examples}))
    except tf.errors.InvalidArgumentError as error:
        if not (column := column_of_another_type(error.message)):
            raise
        raise UsageError(
            "A model cannot be asked about the evaluation rows of the last run: it was trained on another type of a column.",
            where=str(folder),
            expected="models that take the same columns",
            seen=column,
            fix="Leave --flips out, or compare runs between which the types have not changed.",
        ) from error


def _texts(batch: pa.RecordBatch, column: str) -> list[str]:
    """The values of a column as text; empty where a row has none."""
    place = batch.schema.get_field_index(column)
    return [""] * batch.num_rows if place < 0 else [_text(value) for value in batch.column(place).to_pylist()]


def _model_of(run: RunDetails) -> Path:
    folder = run.model.path / FOLDER if run.model else None
    if folder is None or not folder.is_dir():
        raise _missing(f"The model of run {run.outcome.run_id}", str(folder or "no model was trained"))
    return folder


def _evaluation_files(run: RunDetails) -> list[Path]:
    examples = run.run.input(nodes.EVALUATOR.id, "examples")
    files = sorted(examples.path.glob("Split-eval/*")) if examples else []
    if not files:
        raise _missing(f"What run {run.outcome.run_id} was evaluated on", examples.uri if examples else "it was not evaluated")
    return files


def _missing(what: str, where: str) -> UsageError:
    return UsageError(
        f"{what} is not there any more, so predictions cannot be compared.",
        where=where,
        expected="models and rows of runs that conveyor prune has kept",
        fix="Leave --flips out, or run the pipeline again.",
    )


def _described(row: Mapping[str, Any], label: str) -> str:
    known = ((name, _text(value)) for name, value in row.items() if name != label)
    return ", ".join(f"{name} {text}" for name, text in known if text)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
