"""Whether the label has the classes that a configuration names, as far as a sample of its values is certain to tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from components.example_gen.values import has_value
from pipeline.config import Task
from pipeline.config.flaws import Flaw
from pipeline.contracts.label import in_order, require_weighed_classes
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.checks.sample import Sample
    from pipeline.config import PipelineConfig


def class_flaws(config: PipelineConfig, sample: Sample) -> Iterator[Flaw]:
    """The classes in `positive_class` and `training.class_weights` that the label does not have.

    Args:
      config: the pipeline's configuration.
      sample: rows of its data, of which the label suits the task.
    """
    counts = _classes(config, sample)
    label, positive, weights = config.label, config.positive_class, config.training.class_weights
    if not counts or not (sample.is_whole or (sample.has_types and config.task is Task.BINARY and len(counts) == 2)):
        return
    if positive is not None and len(counts) == 2:
        yield from _flaws(("positive_class",), in_order, label, counts, positive)
    classes = [str(each) for each in sorted(counts)]
    for name in weights if isinstance(weights, dict) else ():
        yield from _flaws(("training", "class_weights", name), require_weighed_classes, label, [name], classes)


def _classes(config: PipelineConfig, sample: Sample) -> Counter[str | int]:
    """The rows of each class; nothing where the label has none, or none that can be told."""
    if config.task is Task.REGRESSION or config.label not in sample.rows.schema.names:
        return Counter()
    values = sample.rows.column(config.label)
    present = values.filter(has_value(values)).to_pylist()
    if not all(isinstance(value, str) or (isinstance(value, bool | int | float) and value == int(value)) for value in present):
        return Counter()
    return Counter(value if isinstance(value, str) else int(value) for value in present)


def _flaws(field: tuple[str | int, ...], check: Callable[..., object], *arguments: object) -> Iterator[Flaw]:
    try:
        check(*arguments)
    except ConfigError as error:
        yield Flaw(error.what, field, error.expected, error.seen, error.fix)
