"""The code that TFX ships to executors: preprocessing, model, training and tuning. Named by import path in the pipeline."""
