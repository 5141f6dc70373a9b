"""TensorFlow Serving's interfaces: gRPC and REST, before one data plane."""
