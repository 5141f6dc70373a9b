"""How the candidate is evaluated, validated and pushed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.kubernetes import Image
from pipeline.config.section import ConfigPath, Section

# A column, or a crossing of several.
_Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda columns: (columns,) if isinstance(columns, str) else columns, json_schema_input_type=str | tuple[str, ...]
    ),
]


class Bounds(Section):
    """The bounds within which a metric blesses the model: at least one, and all that are given must hold."""

    min: float | None = None
    """The metric's smallest acceptable value."""
    max: float | None = None
    """The metric's largest acceptable value."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Bounds:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            *names, last = type(self).model_fields
            raise ValueError(f"a threshold needs at least one of {', '.join(names)} and {last}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value lies between min {self.min} and max {self.max}")
        return self


class Threshold(Bounds):
    """The bounds of a metric, and of its change."""

    max_regression: Annotated[float, Field(ge=0)] | None = None
    """How much worse than the baseline, the latest blessed model, the candidate may be (absolute)."""


class Evaluation(Section):
    """How the candidate is judged, overall and slice by slice."""

    slices: tuple[_Columns, ...] = ()
    """Columns whose values divide the evaluation rows, each entry a column or a crossing of columns."""
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    """Bounds by metric: for binary classification auc, accuracy, precision, recall, selection_rate, false_positive_rate,
    calibration, loss; for multiclass accuracy, macro_f1, auc_ovr, top_3_accuracy, top_5_accuracy, loss; for regression
    rmse, mse, mae, mape, median_absolute_error, p90_absolute_error, r2. Without a min or max, a model must be better than
    always saying the same (in auc, accuracy or rmse), and without any, no worse than the baseline in that metric."""
    slice_thresholds: dict[str, dict[str, Threshold]] = Field(default_factory=dict)
    """Bounds by column and metric, which the rows of each value of the column must keep to, where they are at least
    min_slice_rows."""
    max_gaps: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(default_factory=dict)
    """The largest difference of a metric between any two values of a column, by column and metric: selection_rate (demographic
    parity), recall (equal opportunity), false_positive_rate, or another that has an interval. Values with fewer than
    min_slice_rows rows are left out."""
    weight: Annotated[str, Field(min_length=1)] | None = None
    """The column that says how much each row counts in metrics; without it each counts once. The derived model does not see
    it."""
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """That of the interval in which a difference between models lies. All of it must be in favour of the model against always
    saying the same, and all of it worse than max_regression against the baseline to refuse the model; the rest may be chance.
    0 takes what is seen for the truth."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 100
    """Slices with fewer rows are left out of the report, of slice_thresholds and of max_gaps."""

    @property
    def sliced_by(self) -> tuple[tuple[str, ...], ...]:
        """The columns, and crossings of columns, that divide the evaluation rows: also those that only bounds name."""
        return tuple(dict.fromkeys([*self.slices, *((column,) for column in (*self.slice_thresholds, *self.max_gaps))]))


class InfraValidator(Section):
    """The candidate is loaded and answers real requests before it is pushed."""

    enabled: bool = True
    """Validate at all."""
    runner: Literal["auto", "docker", "process"] = "auto"
    """`docker`: TensorFlow Serving in a container. `process`: a process of its own. `auto`: docker where the image is there."""
    requests: Annotated[int, Field(ge=1)] = 100
    """How many rows of the evaluation split the candidate must answer."""
    timeout_seconds: Annotated[int, Field(ge=1)] = 120
    """process: seconds for each step, which are to start, to load and to answer a request. docker: seconds to load."""
    image: Image = "tensorflow/serving:2.20.0"
    """docker: the image that serves."""


class Push(Section):
    """Where blessed models go."""

    destination: Annotated[ConfigPath, Field(min_length=1)] = "{workspace}/models/{name}"
    """The folder that the model server watches; each push is a numbered folder in it."""
    signing_key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["MODEL_SIGNING_KEY"])] | None = (
        None
    )
    """The name of the environment variable with the private key (elliptic, in PEM) by which each version is signed.
    `kubeflow.environment` gives it to pods, from a Secret. Versions are not signed when not given."""
    public_key: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """The file of the public key (PEM): `conveyor serve` and replays then load only versions that are signed by its private
    key."""
