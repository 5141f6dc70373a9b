"""Pushes blessed models: a version folder appears in the serving folder whole or not at all."""

from components.pusher.component import AtomicPusher
from components.pusher.serving_folder import push_is_in_place

__all__ = ["AtomicPusher", "push_is_in_place"]
