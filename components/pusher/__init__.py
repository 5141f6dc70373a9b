"""Pushes blessed models: a version folder appears in the serving folder whole or not at all.

Nothing is imported here, because `serving_folder` finds out without TFX whether a push is in place.
"""
