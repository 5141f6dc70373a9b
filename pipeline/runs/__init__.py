"""Runs as they are stored: their state and metadata, the database behind it, and the execution of a single node."""
