"""How columns become features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import FunctionReference, Section


class Feature(Section):
    """How one column is prepared. Whatever is not given follows from the schema and the type of the column."""

    kind: Literal["numeric", "categorical", "time", "text", "ignore"] | None = None
    """`time` is for seconds since 1970 (as dates and timestamps are stored), `text` for words; `ignore` leaves the column out
    of the model."""
    buckets: Annotated[int, Field(ge=2)] | None = None
    """numeric: one-hot quantile buckets of this number instead of a standardised value."""
    vocabulary: Annotated[int, Field(ge=1)] | None = None
    """categorical: the most frequent values that get an index of their own."""
    oov_buckets: Annotated[int, Field(ge=1)] | None = None
    """categorical: hash buckets for values outside the vocabulary."""
    hash_buckets: Annotated[int, Field(ge=2)] | None = None
    """text: hash buckets for words and pairs of words; 4096 when not given."""
    embedding: Annotated[int, Field(ge=1)] | None = None
    """categorical and text: the width of the embedding; by default it grows with the vocabulary."""
    parts: (
        Annotated[
            tuple[Literal["minute_of_hour", "hour_of_day", "day_of_week", "day_of_month", "day_of_year", "elapsed"], ...],
            Field(min_length=1),
        ]
        | None
    ) = None
    """time: what the model sees of it; hour_of_day and day_of_week when not given. `elapsed` is the time itself, as a number;
    all others are cycles, each as sines and cosines."""

    @model_validator(mode="after")
    def _options_suit_the_kind(self) -> Feature:
        kinds = {
            "buckets": ("numeric",),
            "vocabulary": ("categorical",),
            "oov_buckets": ("categorical",),
            "hash_buckets": ("text",),
            "embedding": ("categorical", "text"),
            "parts": ("time",),
        }
        for option, suited in kinds.items():
            if self.kind not in (None, *suited) and getattr(self, option) is not None:
                raise ValueError(f"{option} is for columns of kind {' or '.join(suited)}, and this one is {self.kind}")
        return self


class Preprocessing(Section):
    """From raw columns to what the model sees, as a graph that is served with the model."""

    preprocessing_fn: FunctionReference | None = None
    """Your own instead of the derived one: `file.py:function`, called with the raw tensors, as tf.Transform does it."""
    numeric_buckets: Annotated[int, Field(ge=2)] | None = None
    """Bucketise every numeric column into so many quantiles; standardise them when not given."""
    vocabulary: Annotated[int, Field(ge=1)] = 1000
    """The most frequent values of a categorical column that get an index of their own."""
    oov_buckets: Annotated[int, Field(ge=1)] = 1
    """Hash buckets for values outside the vocabulary."""
