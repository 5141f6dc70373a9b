"""Rollouts: a new version gets a share of the traffic, is judged by it, and becomes the stable one, or does not."""

from serving.rollout.files import prepare, state_path
from serving.rollout.placement import CANARY, STABLE, Placement, Plan
from serving.rollout.state import RolloutChange, RolloutState, Stage

__all__ = ["CANARY", "STABLE", "Placement", "Plan", "RolloutChange", "RolloutState", "Stage", "prepare", "state_path"]
