"""The spans that a backtest goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.example_gen.inputs import digests_of_files, fingerprint_of_span
from components.example_gen.objects import local_copies
from components.example_gen.spans import at_or_below, find_spans
from pipeline.config import PipelineConfig
from pipeline.errors import UsageError


def folder_of(config: PipelineConfig) -> Path:
    """Where the backtests of a pipeline are kept."""
    return config.workspace_path / "backtests" / config.name


@dataclass(frozen=True)
class History:
    """The spans that exist, and those that are played.

    Attributes:
      contents: a digest of the files of each span, by its number, oldest first.
      played: the spans for which a model is wanted, oldest first.
    """

    contents: Mapping[int, str]
    played: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """All spans, oldest first."""
        return tuple(self.contents)


def read_history(config: PipelineConfig, first: int | None, last: int | None) -> History:
    """Finds the spans.

    Args:
      config: the pipeline's configuration.
      first: the first span to play; the second one that exists when None.
      last: the last span to play; the newest when None.

    Raises:
      UsageError: the data has no spans, none of those to play, or none before them to train on.
      DataError: a file cannot be read.
    """
    pattern = config.resolve(config.data.input)
    if "{SPAN}" not in pattern:
        raise UsageError(
            "The data of this configuration has no spans.",
            where="data.input",
            expected="a pattern with {SPAN}: a backtest goes from span to span",
            seen=config.data.input,
            fix="Write the number of the span as {SPAN} in the path of each file, such as data/{SPAN}.parquet",
        )
    there = at_or_below(find_spans(pattern), config.data.newest_span)
    numbers = [span.number for span in there]
    start = first if first is not None else numbers[1] if len(numbers) > 1 else numbers[0]
    played = tuple(each for each in numbers if start <= each and (last is None or each <= last))
    if not played or played[0] == numbers[0]:
        raise UsageError(
            "There is nothing to play." if not played else f"No span comes before span {played[0]}, the first to play.",
            where="--from and --to",
            expected="spans that exist, with at least one before them to train on",
            seen=f"{_range(first, last)}, while the spans are {', '.join(map(str, numbers))}",
            fix=f"Name others, such as --from {numbers[1]} --to {numbers[-1]}"
            if len(numbers) > 1
            else "Add the data of more spans.",
        )
    copies = local_copies(path for span in there for path in span.files)
    by_copy = digests_of_files(copies.values())
    digests = {path: by_copy[copy] for path, copy in copies.items()}
    return History({span.number: fingerprint_of_span(span.files, digests) for span in there}, played)


def _range(first: int | None, last: int | None) -> str:
    given = [f"--{name} {number}" for name, number in (("from", first), ("to", last)) if number is not None]
    return " ".join(given) or "all but the first span"
