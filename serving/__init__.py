"""Serving: the model server, its client, the gateway and rollouts."""

GRPC_PORT, REST_PORT = 8500, 8501
"""The ports of `conveyor serve` and of TF Serving's image."""
