"""What several rooms agree on about files and models: the schema, and the model that is trained, served and called."""
