"""Data sets that the examples are made of."""
