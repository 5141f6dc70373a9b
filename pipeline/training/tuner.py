"""The Tuner's tuner_fn: a search for better settings of the network and of the trees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from pipeline.training.data import TrainingData
from pipeline.training.members.learning import Table, learn
from pipeline.training.network import make_deterministic
from pipeline.training.settings import TunerSettings
from pipeline.training.trainer import table_of
from pipeline.training.tuning.attempts import Attempts, NetworkAttempts, TreesAttempts
from pipeline.training.tuning.choice import Choice, choose
from pipeline.training.tuning.search import MemberSearch
from pipeline.training.tuning.space import TUNED_KINDS
from pipeline.training.tuning.trials import Trial, TrialStore
from pipeline.util.progress import say

_SYSTEM = "/.system/"
_DIGITS = 16


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Prepares the search; TFX's Tuner carries it out and keeps the best hyperparameters.

    Args:
      fn_args: as TFX's Tuner passes them; `custom_config` is that of `pipeline.training.settings.TunerSettings`.

    Raises:
      DataError: the label is missing, has one value, or does not suit the task.
    """
    settings = TunerSettings.model_validate(fn_args.custom_config)
    if settings.epochs_per_trial is not None:
        training = settings.training.model_copy(update={"epochs": settings.epochs_per_trial})
        settings = settings.model_copy(update={"training": training})
    make_deterministic(settings.training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    data = TrainingData.read(fn_args.train_files, settings, transform_output)
    table = table_of(settings, transform_output, data)
    kinds = settings.member_kinds(data.num_rows)
    known: dict[str, Attempts] = {
        "trees": TreesAttempts(settings, table),
        "network": NetworkAttempts(settings, transform_output, data, table),
    }
    attempts = [known[kind] for kind in TUNED_KINDS if kind in kinds]
    store = TrialStore(_folder_of_trials(fn_args, settings, data))
    others = [kind for kind in kinds if kind not in TUNED_KINDS]
    return TunerFnResult(Tuner(settings, attempts, others, table, store, fn_args.working_dir), fit_kwargs={})


class Tuner:
    """One search after the other, in the form in which TFX's Tuner knows a tuner of Keras Tuner.

    Args:
      settings: the Tuner's settings.
      attempts: trains the members whose settings are searched.
      others: the kinds of members that have none.
      table: the rows.
      store: keeps trials.
      folder: for Keras Tuner's files.
    """

    tuner_id = "members"

    def __init__(
        self,
        settings: TunerSettings,
        attempts: Sequence[Attempts],
        others: Sequence[str],
        table: Table,
        store: TrialStore,
        folder: str,
    ) -> None:
        self._settings, self._attempts, self._others, self._table = settings, attempts, others, table
        self._store, self._folder = store, folder
        self._searches: list[MemberSearch] = []
        self._choice: Choice | None = None

    def search_space_summary(self) -> None:
        """Nothing: each trial says what it tries."""

    def search(self) -> None:
        """Searches the settings of each kind of member, then chooses.

        Raises:
          ConfigError: the user's own build_model does not return a model with the right output.
          NodeError: LightGBM cannot be loaded.
        """
        settings, left = self._settings, None if self._settings.minutes is None else 60 * self._settings.minutes
        for position, attempts in enumerate(self._attempts):
            share = None if left is None else left / (len(self._attempts) - position)
            search = MemberSearch(attempts, self._store, settings.num_trials, share, settings.training.seed, self._folder)
            try:
                search.search(verbose=0)
            except keras_tuner.errors.FatalError as fatal:
                raise fatal.__cause__ or fatal from None
            self._searches.append(search)
            left = None if left is None else max(0.0, left - search.seconds)
        say("choosing among the trials")
        self._choice = choose(self._searches, [learn(kind, self._table) for kind in self._others], self._table)

    @property
    def choice(self) -> Choice:
        """What was chosen; there is a choice once the search has ended."""
        assert self._choice is not None
        return self._choice

    def results_summary(self) -> None:
        """Prints what the search gained."""
        losses = ("none" if loss is None else f"{loss:.4f}" for loss in (self.choice.configured_loss, self.choice.loss))
        print("loss of the whole: {} as configured, {} with what was found".format(*losses), flush=True)

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """The settings that were chosen, none where the configured ones are as good."""
        found = keras_tuner.HyperParameters()
        found.values = self.choice.values
        return [found][:num_trials]

    @property
    def oracle(self) -> Tuner:
        """What TFX asks for the results."""
        return self

    @property
    def max_trials(self) -> int:
        """How many results there are."""
        return len(self.get_best_trials())

    def get_best_trials(self, num_trials: int | None = None) -> list[Any]:
        """The results as TFX writes them: the loss of each trial and, as if they were hyperparameters, what else is known."""
        results = [
            _result(f"{trial.kind}-{trial.number}", trial.loss, self._facts(search, trial))
            for search in self._searches
            for trial in search.trials
        ]
        choice = self.choice
        for name, loss in (("configured", choice.configured_loss), ("chosen", choice.loss)):
            results.append(_result(f"whole-{name}", loss, {"member": "whole", "is_chosen": name == "chosen"}))
        return results[:num_trials]

    def _facts(self, search: MemberSearch, trial: Trial) -> dict[str, Any]:
        return {
            "member": trial.kind,
            "number": trial.number,
            "state": trial.state,
            "seconds": trial.seconds,
            "is_chosen": any(trial is chosen for chosen in self.choice.trials),
            **(trial.values or search.configured),
        }


def _result(trial_id: str, loss: float | None, facts: dict[str, Any]) -> Any:
    values = keras_tuner.HyperParameters()
    values.values = facts
    result = keras_tuner.engine.trial.Trial(values, trial_id, "COMPLETED")
    result.score = loss
    return result


def _folder_of_trials(fn_args: FnArgs, settings: TunerSettings, data: TrainingData) -> Path:
    """The folder of this search, named by all that a trial depends on.

    It is beside TFX's temporary folders, of which each execution has another one: the same search finds it again.
    """
    without = settings.model_dump(mode="json", exclude={"num_trials", "minutes"})
    inputs = [without, *fn_args.train_files, fn_args.transform_graph_path]
    name = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode() + data.labels.tobytes()).hexdigest()[:_DIGITS]
    folder, system, _ = str(fn_args.working_dir).partition(_SYSTEM)
    return Path(folder + system) / "searches" / name
