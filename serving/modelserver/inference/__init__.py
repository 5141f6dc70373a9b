"""One loaded version: its graph, its signatures, and the calls on it."""
