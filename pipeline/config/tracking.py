"""Where runs are reported, beside the workspace."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.addresses import HttpUrl
from pipeline.config.section import Section


class Mlflow(Section):
    """An MLflow tracking server that runs are sent to when they end."""

    uri: HttpUrl
    """The address of the server. Tokens and passwords are in MLFLOW_TRACKING_TOKEN, or in MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD."""
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = "{name}"
    """The experiment that runs are listed under, made where it is missing; {name} stands for the pipeline's name."""


class Tracking(Section):
    """Where runs are reported, beside the workspace."""

    mlflow: Mlflow | None = None
    """An MLflow tracking server, as {uri: http://mlflow:5000}: gets parameters, metrics, report and model card of each run, and
    pushed models with the aliases `stable` and `canary`. null: none."""
