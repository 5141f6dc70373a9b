"""Serving: the model server for machines without Docker, its clients and the gateway before it."""
