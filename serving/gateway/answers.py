"""A prediction in a response."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from serving.client import Prediction


class Served(NamedTuple):
    """A model that answers.

    Attributes:
      name: the model's name.
      version: the version's number, which another may have had before.
      digest: the model's digest; empty where an earlier release has written it.
    """

    name: str
    version: int
    digest: str


class Contribution(BaseModel):
    """What a feature adds to a prediction."""

    feature: str
    value: int | float | str | list[int | float | str | None] | None = Field(
        description="Its value in the row; a time in seconds since 1970; null where it is missing."
    )
    contribution: float = Field(description="How much greater the explained value is for it than on average.")


class Explanation(BaseModel):
    """Why a prediction differs from the average one: `average` and all contributions add up to what is explained."""

    of: Literal["score", "probability", "prediction"] = Field(description="The field of the prediction that is explained.")
    average: float = Field(description="Its mean over rows of the training data.")
    contributions: list[Contribution] = Field(description="Those of all features, the greatest first, whatever their sign.")
    rows_asked: int = Field(description="The number of rows that the model was asked about.")


def to_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction by the names that `conveyor predict` and `score` have.

    Args:
      prediction: the prediction, with its explanation where it was asked for.
    """
    explanation = {} if prediction.explanation is None else {"explanation": asdict(prediction.explanation)}
    if prediction.value is not None:
        return {"model_version": prediction.version, "prediction": prediction.value, **explanation}
    score = {} if prediction.score is None else {"score": prediction.score}
    return {
        "model_version": prediction.version,
        "prediction": prediction.label,
        "probability": prediction.probability,
        **score,
        "probabilities": prediction.probabilities,
        **explanation,
    }
