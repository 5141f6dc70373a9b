"""Replay: a candidate is scored on what was really asked, beside the stable version (`conveyor replay`)."""
