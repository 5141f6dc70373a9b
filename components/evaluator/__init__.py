"""Evaluates the candidate model against thresholds and the latest blessed model, slice by slice."""

from components.evaluator.component import FastEvaluator
from components.evaluator.config import eval_config, gate_of

__all__ = ["FastEvaluator", "eval_config", "gate_of"]
