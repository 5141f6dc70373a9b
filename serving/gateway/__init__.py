"""The gateway: what applications call for predictions, before the model server."""
