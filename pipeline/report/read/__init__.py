"""Reads the artifacts of a run as plain data, without TensorFlow."""
