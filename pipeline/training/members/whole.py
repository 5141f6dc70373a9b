"""The model that is served: the members that help, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np
import numpy.typing as npt
import scipy.stats

from pipeline.config import Task
from pipeline.training.division import Division, Indices
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.ensemble import best_weights
from pipeline.training.members.learning import Member
from pipeline.training.members.losses import Outputs, levelled, losses

MEMBERS_FILE = "members.json"
"""In the `model_run` artifact: a list with an object for each member and, last, for the whole, as `Standing` describes them."""

WHOLE = "whole"


@dataclass(frozen=True)
class Standing:
    """How good a member is on rows that it has not learnt from.

    Attributes:
      kind: what it is: network, trees or linear; `whole` for the sum of all.
      weight: its share of the sum; 0 where it does not help.
      metrics: by name: the loss that weights make small, and what the task is judged by; empty without such rows.
      seconds: how long its training took.
      facts: what was chosen, in words.
    """

    kind: str
    weight: float
    metrics: Mapping[str, float]
    seconds: float
    facts: str

    def __str__(self) -> str:
        values = "".join(f"  {name} {value:.4f}" for name, value in self.metrics.items())
        return f"{self.kind:<8} {self.weight:4.2f}  {self.seconds:.1f} s{values}  {self.facts}".rstrip()

    def to_json(self) -> dict[str, object]:
        """The object in the file."""
        return asdict(self)


def weigh(
    members: Sequence[Member],
    division: Division,
    labels: npt.NDArray[np.float32],
    encoding: LabelEncoding,
    row_weights: npt.NDArray[np.float32] | None = None,
    baseline: Member | None = None,
) -> list[Standing]:
    """Weighs members by the rows that they have not learnt from.

    Args:
      members: at least one; a network's outputs are those for the validation rows.
      division: the rows that judge them.
      labels: [N] of all rows, class indices or the standardised label.
      encoding: what outputs mean.
      row_weights: how much each of all rows counts, [N], in the losses that weights make small; metrics count each once.
      baseline: one that is no part of the whole, with outputs for the validation rows.

    Returns:
      How each stands, in the same order, then the baseline, and the whole.
    """
    task = encoding.task
    compared = []
    if baseline:
        rows = division.validation
        values = _levelled(baseline, rows, labels, task, row_weights) if division.is_ordered else baseline.outputs
        metrics = _metrics(values, labels[rows], encoding)
        compared = [Standing(baseline.kind, 0.0, metrics, baseline.seconds, baseline.facts)]
    if division.is_ordered:
        members = [
            replace(member, outputs=_levelled(member, _rows(member, division), labels, task, row_weights)) for member in members
        ]
    counts = np.ones(len(labels)) if row_weights is None else row_weights
    others = [member for member in members if member.kind != "network"]
    rows = division.judged
    shares = best_weights(task, [member.outputs for member in others], labels[rows], counts[rows]) if others else np.ones(0)
    weights = dict(zip((member.kind for member in others), shares, strict=True))
    outputs = {member.kind: member.outputs for member in members}
    if len(others) < len(members):
        # Trees and linear models may have been judged by more rows than the network. These have said how they stand to each
        # other, which few rows that have judged all hardly change.
        rows = division.validation
        shared = np.searchsorted(division.judged, rows)
        outputs.update({member.kind: member.outputs[shared] for member in others})
        started_from = {"network": 1.0, **{kind: len(others) * weight for kind, weight in weights.items()}}
        prior = np.array([started_from[kind] for kind in outputs]) / len(members)
        found = best_weights(task, list(outputs.values()), labels[rows], counts[rows], prior)
        weights = dict(zip(outputs, found, strict=True))
    expected = labels[rows]
    standings = [
        Standing(
            member.kind,
            float(weights[member.kind]),
            _metrics(outputs[member.kind], expected, encoding),
            member.seconds,
            member.facts,
        )
        for member in members
    ]
    added = _added(weights, outputs)
    seconds = sum(member.seconds for member in members)
    return [*standings, *compared, Standing(WHOLE, 1.0, _metrics(added, expected, encoding), seconds, "")]


def whole_outputs(members: Sequence[Member], standings: Sequence[Standing], division: Division) -> tuple[Indices, Outputs]:
    """What the weighted sum of members puts out for the rows that all are judged by.

    Args:
      members: the members.
      standings: how they stand, in the same order.
      division: the rows that judge them.

    Returns:
      The indices of the rows, [N], and the outputs, [N, outputs].
    """
    has_network = any(member.kind == "network" for member in members)
    rows = division.validation if has_network else division.judged
    # Trees and linear models may have been judged by more rows than the network.
    shared = np.searchsorted(division.judged, rows)
    terms = [
        standing.weight * (member.outputs if member.kind == "network" else member.outputs[shared])
        for member, standing in zip(members, standings, strict=False)
    ]
    return rows, np.sum(terms, axis=0)


def whole_model(
    members: Sequence[Member], standings: Sequence[Standing], inputs: Mapping[str, keras.KerasTensor]
) -> keras.Model:
    """The weighted sum of members, without those that have no weight.

    Args:
      members: the members.
      standings: how they stand, in the same order.
      inputs: the inputs by transformed feature, [N, values].

    Returns:
      A model from the inputs to [N, outputs].
    """
    kept = [(member, standing.weight) for member, standing in zip(members, standings, strict=False) if standing.weight]
    terms = [weight * member.layer(dict(inputs)) for member, weight in kept]
    return keras.Model(dict(inputs), terms[0] if len(terms) == 1 else keras.layers.Add()(terms))


def _rows(member: Member, division: Division) -> Indices:
    """The rows for which a member has outputs."""
    return division.validation if member.kind == "network" else division.judged


def _levelled(
    member: Member,
    rows: Indices,
    labels: npt.NDArray[np.float32],
    task: Task,
    row_weights: npt.NDArray[np.float32] | None,
) -> Outputs:
    return levelled(task, member.outputs, labels[rows], None if row_weights is None else row_weights[rows])


def _added(weights: Mapping[str, float], outputs: Mapping[str, Outputs]) -> Outputs:
    return np.sum([weights[kind] * values for kind, values in outputs.items()], axis=0)


def _metrics(outputs: Outputs, labels: npt.NDArray[np.float32], encoding: LabelEncoding) -> dict[str, float]:
    if not len(labels):
        return {}
    found = {"loss": float(losses(encoding.task, outputs, labels).mean())}
    if encoding.task is Task.REGRESSION:
        return {**found, "rmse": encoding.deviation * float(np.sqrt(np.mean((outputs[:, 0] - labels) ** 2)))}
    if encoding.task is Task.MULTICLASS:
        return {**found, "accuracy": float(np.mean(outputs.argmax(axis=1) == labels))}
    num_positive = int(labels.sum())
    if num_positive in (0, len(labels)):
        return found
    # The area under the curve is the share of pairs in order: Mann and Whitney's U.
    ranks = scipy.stats.rankdata(outputs[:, 0])[labels == 1].sum()
    pairs = num_positive * (len(labels) - num_positive)
    return {**found, "auc": float((ranks - num_positive * (num_positive + 1) / 2) / pairs)}
