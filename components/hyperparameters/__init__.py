"""How a run finds the hyperparameters of an earlier search."""

from components.hyperparameters.strategy import LatestHyperparametersStrategy

__all__ = ["LatestHyperparametersStrategy"]
