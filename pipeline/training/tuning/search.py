"""The search for the settings of one kind of member."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras_tuner

from pipeline.training.members.losses import Outputs
from pipeline.training.tuning.attempts import Attempts
from pipeline.training.tuning.space import space_of, worded
from pipeline.training.tuning.trials import State, Trial, TrialStore
from pipeline.util.progress import say


class MemberSearch(keras_tuner.engine.base_tuner.BaseTuner):
    """Searches the settings of a kind of member at random, the configured ones first.

    What is tried follows from the seed. So a search that is repeated asks for the same trials, and those that the store has are
    not trained again: Keras Tuner's own files, which a killed process may leave half written, are not needed.

    Args:
      attempts: trains a member.
      store: keeps trials.
      num_trials: how many trials there are at the most.
      seconds: how long trials may take until no other one begins; None: no limit.
      seed: the seed of the search.
      folder: for Keras Tuner's files.

    Attributes:
      trials: what has been tried, the configured settings first.
    """

    def __init__(
        self, attempts: Attempts, store: TrialStore, num_trials: int, seconds: float | None, seed: int, folder: str
    ) -> None:
        oracle = keras_tuner.oracles.RandomSearchOracle(
            hyperparameters=space_of(attempts.kind),
            max_trials=num_trials,
            # Keras Tuner takes 0 for none.
            seed=seed + 1,
            # Whatever fails, the configured settings remain.
            max_consecutive_failed_trials=num_trials + 1,
        )
        super().__init__(oracle, directory=folder, project_name=attempts.kind, overwrite=True)
        self._attempts, self._store, self._seconds = attempts, store, seconds
        self.trials: list[Trial] = []
        self._outputs: dict[int, Outputs] = {}

    @property
    def kind(self) -> str:
        """The kind of member."""
        return self._attempts.kind

    @property
    def configured(self) -> Mapping[str, Any]:
        """The settings of the first trial."""
        return self._attempts.configured

    @property
    def best(self) -> Trial:
        """The trial with the smallest loss; of equal ones the first."""
        complete = [trial for trial in self.trials if trial.is_complete]
        return min(complete, key=_loss) if complete else self.trials[0]

    @property
    def candidates(self) -> tuple[Trial, ...]:
        """The first trial, and the best one where that is another."""
        first, best = self.trials[0], self.best
        return (first,) if best is first else (first, best)

    @property
    def seconds(self) -> float:
        """How long all trials took."""
        return sum(trial.seconds for trial in self.trials)

    def outputs(self, trial: Trial) -> Outputs | None:
        """What a candidate put out for the rows that judge; None where it diverged."""
        return self._outputs.get(trial.number)

    def run_trial(self, trial: Any, **options: Any) -> float:
        """Tries some settings, as Keras Tuner asks for it."""
        number = int(trial.trial_id)
        # Whatever Keras Tuner has drawn.
        values = {} if number == 0 else dict(trial.hyperparameters.values)
        try:
            tried = self._earlier(values) or self._try(number, values)
        except Exception as error:
            # Others are counted as failed trials.
            raise keras_tuner.errors.FatalError(str(error)) from error
        if tried.loss is None:
            raise keras_tuner.errors.FailedTrialError("The loss is not a number.")
        return tried.loss

    def on_trial_end(self, trial: Any) -> None:
        """Ends the search when its time is used up."""
        super().on_trial_end(trial)
        if self._seconds is not None and self.seconds >= self._seconds:
            self.oracle.max_trials = len(self.oracle.trials)

    def _earlier(self, values: Mapping[str, Any]) -> Trial | None:
        """The trial of the same settings, in this search or in one that was interrupted."""
        found = self._store.find(self.kind, values)
        if found is None:
            return None
        trial, outputs = found
        if trial in self.trials:
            return trial
        if outputs is None and self._is_of_use(trial):
            return None
        self._take(trial, outputs, "from an interrupted search, ")
        return trial

    def _try(self, number: int, values: Mapping[str, Any]) -> Trial:
        started = time.monotonic()
        name = f"trial {number + 1}/{self.oracle.max_trials} {self.kind}"
        say(f"{name}: {worded(values) or 'as configured'}")
        curves = [trial.curve for trial in self.trials]
        attempt = self._attempts.train(values, curves, f"{name}, ")
        state: State = "failed" if attempt.loss is None else "stopped" if attempt.was_stopped else "complete"
        trial = Trial(self.kind, number, values, attempt.loss, state, time.monotonic() - started, attempt.curve)
        outputs = attempt.outputs if self._is_of_use(trial) else None
        self._store.keep(trial, outputs)
        self._take(trial, outputs)
        return trial

    def _is_of_use(self, trial: Trial) -> bool:
        """Whether somebody will ask for its outputs: it is the first, or better than all before it."""
        return trial.is_complete and all(not other.is_complete or _loss(trial) < _loss(other) for other in self.trials)

    def _take(self, trial: Trial, outputs: Outputs | None, remark: str = "") -> None:
        self.trials.append(trial)
        if outputs is not None:
            self._outputs[trial.number] = outputs
        loss = "no number" if trial.loss is None else f"{trial.loss:.4f}{' and stopped' if trial.state == 'stopped' else ''}"
        best = self.best.loss
        say(
            f"trial {trial.number + 1}/{self.oracle.max_trials} {self.kind}: {worded(trial.values) or 'as configured'}  "
            f"{remark}{trial.seconds:.1f} s  loss {loss}" + ("" if best is None else f", best {best:.4f}")
        )


def _loss(trial: Trial) -> float:
    return float("inf") if trial.loss is None else trial.loss
