"""Custom TFX components, one package each."""
