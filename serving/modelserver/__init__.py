"""A drop-in for tensorflow_model_server, in Python: the same flags, gRPC and REST interfaces and behaviour."""
