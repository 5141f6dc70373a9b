"""The pipeline runs when that is likely to pay, and what it pushes is tried before it serves."""
