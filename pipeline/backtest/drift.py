"""What of a span has drifted from the rows that a model was trained on, as `conveyor monitor` would have told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from components.statistics_gen.batches import read_batches
from pipeline.backtest.predictions import Predictions
from pipeline.backtest.trials import Trial, Trials
from pipeline.contracts.model_description import ModelDescription
from pipeline.monitoring.columns import watched_columns
from pipeline.monitoring.comparison import compare
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.relevance import MATTERS, drift_that_matters
from pipeline.util import files
from pipeline.util.imports import silently
from pipeline.util.sealed import seal, unseal


class DriftWatch:
    """Compares spans with what models were trained on, each pair once.

    Args:
      trials: the models and the rows.
      predictions: what the models say, which tells what they lean on.
    """

    def __init__(self, trials: Trials, predictions: Predictions) -> None:
        self._trials, self._predictions = trials, predictions
        self._reference: tuple[str, Profile] | None = None

    def drifted(self, trial: Trial, span: int) -> tuple[str, ...]:
        """The columns of a span that have drifted and matter, the one that the model leans on most first.

        Raises:
          ConveyorError: rows cannot be read.
        """
        path = self._path(trial, span)
        try:
            found = json.loads(unseal(path.read_bytes()))
            return tuple(found["columns"])
        except (OSError, ValueError, KeyError):
            columns = self._compared(trial, span)
            files.write(path, seal(json.dumps({"columns": columns})))
            return columns

    def _compared(self, trial: Trial, span: int) -> tuple[str, ...]:
        config = self._trials.config
        description = ModelDescription.of(trial.model)
        columns = watched_columns(config, description.features)
        if self._reference is None or self._reference[0] != trial.key:
            profile = Profile(columns)
            for each in trial.spans:
                self._add(profile, each)
            self._reference = trial.key, profile
        current = Profile(columns)
        self._add(current, span)
        compared = compare(
            self._reference[1],
            current,
            confidence=config.monitoring.confidence,
            allowed=config.monitoring.min_difference,
            importance=self._predictions.importance(trial),
        )
        return drift_that_matters(compared)

    def _add(self, profile: Profile, span: int) -> None:
        names = self._trials.files(span)
        with silently():
            for batch in read_batches(names):
                profile.add(batch)

    def _path(self, trial: Trial, span: int) -> Path:
        monitoring = self._trials.config.monitoring
        decided = [self._trials.content(span), monitoring.confidence, monitoring.min_difference, MATTERS]
        name = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:16]
        return self._trials.folder / "drift" / trial.key / f"{span}-{name}.json"
