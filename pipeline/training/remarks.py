"""What the person should know of how columns are used, as notes of the Trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.config import Task
from pipeline.contracts.model import ColumnType
from pipeline.training.features import Bucketised, Categorical, FeaturePlan
from pipeline.training.labels import LabelEncoding

_MIN_ROWS = 50
_MAX_RARE = 0.5
_SHOWN = 10


def on_lists(plan: FeaturePlan) -> Iterator[str]:
    """A remark on the columns of lists, where there are any: they never count by their first value alone."""
    uses = {
        "as bags of categories": [bag.name for bag in plan.bags if isinstance(bag, Categorical)],
        "as bags of buckets": [bag.name for bag in plan.bags if isinstance(bag, Bucketised)],
        "by mean, least, greatest and number of values": plan.pooled,
        "value by value": [vector.name for vector in plan.vectors],
        "by the means of their cycles": [time.name for time in plan.time if time.is_list],
    }
    told = [f"{_listed(names)} {use}" for use, names in uses.items() if names]
    if told:
        yield f"Columns of lists are used whole: {'; '.join(told)}."


def on_positive_class(encoding: LabelEncoding, labels: npt.NDArray[np.float32]) -> str:
    """Which class of two is positive; empty where the label has no text or no such class, and where its order is plain.

    Args:
      encoding: how the label is learnt.
      labels: the labels of the training rows as they are learnt, [N].
    """
    if encoding.task is not Task.BINARY or isinstance(encoding.classes[1], int) or encoding.reason == "the word for true":
        return ""
    negative, positive = encoding.classes
    return (
        f"The positive class is {positive!r}, {encoding.reason} ({labels.mean():.1%} of the rows): a score is its probability. "
        f"To make it {negative!r}, set `positive_class: {json.dumps(negative, ensure_ascii=False)}`."
    )


def on_rare_values(
    plan: FeaturePlan, vocabulary_sizes: Mapping[str, int], indices: npt.NDArray[np.int64], dtypes: Mapping[str, ColumnType]
) -> Iterator[str]:
    """Remarks on categorical columns of which little can be learnt, as most rows have a value that hardly any other row has.

    Args:
      plan: how columns are prepared.
      vocabulary_sizes: how many values the vocabulary of each categorical column holds.
      indices: the transformed feature `categorical` of the training rows, [N, columns].
      dtypes: the types of the raw columns.
    """
    for column, values in zip(plan.categorical, indices.T, strict=False):
        present = values[values > 0]
        counts = np.bincount(present, minlength=1)
        # What is outside a vocabulary is rarer than all that is in it.
        known = counts[: 1 + vocabulary_sizes[column.name]]
        num_rare = int((known == 1).sum() + counts[len(known) :].sum())
        if len(present) < _MIN_ROWS or num_rare <= _MAX_RARE * len(present):
            continue
        quoted = json.dumps(column.name, ensure_ascii=False)
        remedy = f"If it only identifies rows, set `features: {{{quoted}: {{kind: ignore}}}}`"
        if dtypes[column.name] == "string":
            remedy += "; if it holds text of several words, `kind: text` instead"
        yield (
            f"The column {column.name!r} is used as a category, but in {num_rare / len(present):.0%} of the rows it has a "
            f"value that is rare or in no other row. {remedy}."
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
