"""The client of a model server: raw rows in, predictions out."""
