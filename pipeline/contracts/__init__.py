"""The agreements between training, components, serving and the report: on the schema, the label and the model."""
