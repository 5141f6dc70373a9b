"""Custom TFX components, one package each, and strategies for TFX's Resolver."""
