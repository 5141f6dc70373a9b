"""Pushes blessed models: a version folder appears in the serving folder whole or not at all.

Nothing is imported here: whether a push is in place is seen (`serving_folder`) without TFX.
"""
