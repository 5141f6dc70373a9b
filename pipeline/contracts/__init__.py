"""Agreements between configuration, training, components, serving and the report: schema, label, model, metrics, input."""
