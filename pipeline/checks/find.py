"""All flaws of a configuration that its data and the files that it names show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.example_gen.objects import local_copies, told_by_address
from components.example_gen.rules import ColumnRules
from components.shared.examples.kinds import Kind
from pipeline.checks.classes import class_flaws
from pipeline.checks.columns import named_columns, shown, unknown_columns
from pipeline.checks.files import file_flaws, flaw_of
from pipeline.checks.kinds import kind_flaws
from pipeline.checks.label import label_flaws, label_remark
from pipeline.checks.sample import Sample, files_of, read_sample
from pipeline.config.flaws import Flaw
from pipeline.errors import ConveyorError, DataError

if TYPE_CHECKING:
    from pipeline.config import Data, PipelineConfig


@dataclass(frozen=True)
class Findings:
    """What the data and the files that a configuration names say about it.

    Attributes:
      flaws: what is certain to stop a run, or to be without effect; empty where nothing is known to be wrong.
      remarks: sentences on what works but may not be meant.
    """

    flaws: list[Flaw]
    remarks: list[str] = field(default_factory=list)


def find_flaws(config: PipelineConfig) -> list[Flaw]:
    """The flaws among the findings."""
    return examine(config).flaws


def examine(config: PipelineConfig) -> Findings:
    """Compares a configuration with its data and the files that it names.

    Args:
      config: the pipeline's configuration, as it was loaded for a run.
    """
    flaws = list(file_flaws(config))
    data = config.data.model_copy(update={"input": config.resolve(config.data.input)})
    try:
        copies = local_copies(files_of(data))
        with told_by_address(copies):
            sample = _sample(config, data, list(copies.values()), ColumnRules.of(config))
    except ConveyorError as error:
        return Findings([*flaws, flaw_of(error, _field(error))])
    flaws += list(label_flaws(config, sample)) or class_flaws(config, sample)
    flaws += kind_flaws(config, sample)
    if sample.has_all_columns:
        flaws += _nothing_to_learn_from(config, sample)
        known = {flaw.field for flaw in flaws}
        # The flaws of the schema say the same.
        flaws += [flaw for flaw in unknown_columns(config, sample.columns, "the data") if flaw.field not in known]
    remark = label_remark(config, sample)
    return Findings(flaws, [remark] if remark else [])


def _nothing_to_learn_from(config: PipelineConfig, sample: Sample) -> Iterator[Flaw]:
    ignored = [name for name in sample.columns if name in config.features and config.features[name].kind == "ignore"]
    empty = [name for name in sample.columns if sample.is_whole and sample.kinds.get(name) is Kind.EMPTY]
    if config.label in sample.columns and set(sample.columns) == {config.label, *ignored, *empty}:
        yield Flaw(
            "No column is left for the model.",
            ("features",),
            f"at least one column besides the label {config.label!r} that has values and is not ignored",
            f"ignored: {shown(ignored) or 'none'}" + f"; without a value in any row: {shown(empty)}" * bool(empty),
            f"Remove the setting of one: {ignored[0]}" if ignored else "Add a column to the data.",
            kind=DataError,
        )


def _sample(config: PipelineConfig, data: Data, files: list[str], rules: ColumnRules) -> Sample:
    sample = read_sample(data, files, rules, config.label)
    named = {config.label, *(name for _, name in named_columns(config))}
    if not named <= set(sample.columns) and not sample.has_all_columns:
        # A file that is not in the sample may have the column.
        return read_sample(data, files, rules, config.label, every_file=True)
    return sample


def _field(error: ConveyorError) -> tuple[str, ...]:
    """The field that an error about the data is to be blamed on: the one that it names, or the data's place."""
    return tuple(error.where.split(".")) if error.where.startswith("data.") else ("data", "input")
